module tare/test/integration

go 1.26.0

require tare v0.0.0

replace tare => ../..
