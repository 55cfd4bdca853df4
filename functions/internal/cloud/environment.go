// SPDX-License-Identifier: Apache-2.0

// Package cloud is what the functions have in common: their settings, their clients of AWS, their log. It builds and reads;
// it calls nothing, so that a process which starts waits for nobody.
package cloud

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tare/internal/clock"
)

// Environment reads the variables of a function. The template sets all of them.
type Environment struct {
	lookup func(string) (string, bool)
	err    error    // of the first variable that cannot be used
	read   []string // the names that were looked up
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

// Unknown are the variables of variables, "NAME=value" each, that are named as ours are and that nobody has read.
//
// They are no reason not to start. Every variable has to be there, so that one that is misspelt is missing, too; and while a
// release with other variables is deployed, code and variables are not replaced at one moment.
func (e *Environment) Unknown(variables []string) (names []string) {
	for _, v := range variables {
		name, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, "TARE_") && !slices.Contains(e.read, name) {
			names = append(names, name)
		}
	}
	return names
}

// value looks a variable up.
func (e *Environment) value(name string) (string, bool) {
	e.read = append(e.read, name)
	v, ok := e.lookup(name)
	return strings.TrimSpace(v), ok
}

// Text is a variable that must not be empty.
func (e *Environment) Text(name string) string {
	v, _ := e.value(name)
	if v == "" {
		e.fail(name, "is not set")
	}
	return v
}

// Name is a variable that names something of AWS: so many letters, digits and marks.
func (e *Environment) Name(name, marks string, least, most int) string {
	v := e.Text(name)
	strange := strings.ContainsFunc(v, func(c rune) bool {
		return (c < 'a' || 'z' < c) && (c < 'A' || 'Z' < c) && (c < '0' || '9' < c) && !strings.ContainsRune(marks, c)
	})
	if v != "" && (strange || len(v) < least || most < len(v)) {
		e.fail(name, fmt.Sprintf("is %q, not %d to %d letters, digits and characters of %s", v, least, most, marks))
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
	v, ok := e.value(name)
	switch {
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
