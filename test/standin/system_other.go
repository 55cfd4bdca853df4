// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package standin

import (
	"net"
	"syscall"
	"time"
)

// dieWithParent: only Linux ends a program with the suite that started it.
func dieWithParent() *syscall.SysProcAttr { return nil }

// listens tells whether somebody listens at the address. Whose process that is only Linux tells without another program;
// one that does not get its port ends, which is seen.
func listens(_ int, address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}
