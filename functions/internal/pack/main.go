// SPDX-License-Identifier: Apache-2.0

// Command pack makes what is deployed of what was built.
//
//	pack zip OUT.zip BOOTSTRAP                a function's program, as Lambda takes it
//	pack release OUT TEMPLATE ZIP… FILE…      a folder that is deployed as it is
//
// The same input gives the same bytes: a deploy of what did not change then changes nothing.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "pack: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "zip":
		return zipProgram(args[1], args[2])
	case len(args) >= 4 && args[0] == "release":
		return release(args[1], args[2], args[3:])
	}
	return fmt.Errorf("usage: pack zip OUT.zip BOOTSTRAP | pack release OUT TEMPLATE FILE…")
}
