// SPDX-License-Identifier: Apache-2.0

package lambda

import "syscall"

// attributes let a process die with the emulator, however that ends: a stopped process would stay for ever. An interrupt from
// the terminal is the emulator's.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
