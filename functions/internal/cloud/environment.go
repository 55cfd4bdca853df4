// SPDX-License-Identifier: Apache-2.0

// Package cloud is what the functions have in common: their settings, their clients of AWS, their log. It builds and reads;
// it calls nothing, so that a process which starts waits for nobody.
package cloud

import (
	"fmt"
	"strings"
	"time"

	"tare/internal/clock"
)

// Environment reads the variables of a function. The template sets all of them.
type Environment struct {
	lookup func(string) (string, bool)
	err    error // of the first variable that cannot be used
}

// NewEnvironment reads variables by lookup, which is os.LookupEnv but in tests.
func NewEnvironment(lookup func(string) (string, bool)) *Environment {
	return &Environment{lookup: lookup}
}

// Err is why the function cannot start, in one line that names the variable; nil where it can.
func (e *Environment) Err() error { return e.err }

func (e *Environment) fail(name, what string) {
	if e.err == nil {
		e.err = fmt.Errorf("variable %s %s", name, what)
	}
}

// Text is a variable that must not be empty.
func (e *Environment) Text(name string) string {
	v, _ := e.lookup(name)
	if v = strings.TrimSpace(v); v == "" {
		e.fail(name, "is not set")
	}
	return v
}

// Switch is a variable that is on or off.
func (e *Environment) Switch(name string) bool {
	v := e.Text(name)
	if v != "" && v != "on" && v != "off" {
		e.fail(name, fmt.Sprintf("is %q, neither on nor off", v))
	}
	return v == "on"
}

// Duration is a variable such as 90s, 12h or 14d; it may be empty, which is 0, but not missing.
func (e *Environment) Duration(name string) time.Duration {
	v, ok := e.lookup(name)
	switch v = strings.TrimSpace(v); {
	case !ok:
		e.fail(name, "is not set")
		return 0
	case v == "":
		return 0
	}
	d, err := clock.ParseDuration(v)
	if err != nil {
		e.fail(name, "is no duration: "+err.Error())
	}
	return d
}
