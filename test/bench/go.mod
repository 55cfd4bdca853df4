module tare/test/bench

go 1.26.0
