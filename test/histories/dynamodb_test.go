// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"flag"
	"os"
	"testing"

	"tare/test/standin/rows"
)

var onDynamoDB = flag.Bool("dynamodb", false, "rows are in DynamoDB: in the stand-in of TARE_DYNOXIDE")

// engine is where the rows of the worlds are; nil: in memory.
var engine *rows.Engine

func TestMain(m *testing.M) {
	flag.Parse()
	if *onDynamoDB {
		os.Exit(rows.Main(m, func(e *rows.Engine) { engine = e }))
	}
	os.Exit(m.Run())
}
