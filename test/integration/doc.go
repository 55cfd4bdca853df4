// SPDX-License-Identifier: Apache-2.0

// Package integration runs the suites of the stores, and of the ledger on them, against real engines: the stand-ins of
// package standin, each its own process with its data on disk, or what variables name. It is a module of its own, so that
// `make test` needs Go alone; `make integration` installs the stand-ins and runs it.
package integration
