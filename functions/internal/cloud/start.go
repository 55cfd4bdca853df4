// SPDX-License-Identifier: Apache-2.0

package cloud

import (
	"fmt"
	"io"
	"log/slog"
	"os"
)

// Log writes lines of JSON, which CloudWatch takes as they are.
func Log(w io.Writer) *slog.Logger { return slog.New(slog.NewJSONHandler(w, nil)) }

// Start runs a function: build makes it from its environment, and serve, which does not return while Lambda calls it, runs
// it. Where it cannot be made, one line says why, and the process ends: Lambda then answers for it.
func Start[T any](build func(*Environment, *slog.Logger) (T, error), serve func(T)) {
	log := Log(os.Stderr)
	environment := NewEnvironment(os.LookupEnv)
	door, err := build(environment, log)
	if err != nil {
		fmt.Fprintf(os.Stderr, "tare: %v\n", err)
		os.Exit(1)
	}
	for _, name := range environment.Unknown(os.Environ()) {
		log.Warn("A variable is not known.", "variable", name)
	}
	serve(door)
}
