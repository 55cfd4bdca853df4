module tare/test/cloud

go 1.26.0

require (
	github.com/aws/aws-sdk-go-v2 v1.47.7
	golang.org/x/net v0.62.0
)

require github.com/aws/smithy-go v1.28.8 // indirect

require (
	golang.org/x/text v0.43.0 // indirect
	tare v0.0.0
)

replace tare => ../..
