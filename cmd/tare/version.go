// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is what this program calls itself. The linker sets it in a build from the Makefile.
var version = unversioned

const unversioned = "(devel)"

// buildVersion is the version, or else what the build recorded of its sources.
func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && version == unversioned && info.Main.Version != "" {
		return info.Main.Version
	}
	return version
}

// versionCmd prints the version.
type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(c *console) error {
	_, err := fmt.Fprintf(c.out, "tare %s (%s, %s/%s)\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
