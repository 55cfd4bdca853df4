// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"flag"
	"os"
	"testing"

	"tare/test/standin/rows"
)

var onDynamoDB = flag.Bool("dynamodb", false, "rows are in DynamoDB: in the stand-in of TARE_DYNOXIDE")

// engine is where rows are; nil: in memory, or on disk.
var engine *rows.Engine

func TestMain(m *testing.M) {
	flag.Parse()
	if *onDynamoDB {
		os.Exit(rows.Main(m, func(e *rows.Engine) {
			engine = e
			e.Proxy.Use(nil) // what is sent again is not what is counted
		}))
	}
	os.Exit(m.Run())
}
