module tare/test/cloud

go 1.26.0
