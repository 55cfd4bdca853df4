// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// dieWithParent makes a program end with the suite that started it, however that ends, and not before it: an interrupt from
// the terminal is the suite's.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// listens tells whether the process itself has a socket that listens at an IPv4 address: proc(5) says which sockets
// listen where, and which of them the process has open.
func listens(pid int, address string) bool {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return false
	}
	ip := at.Addr().As4()
	local := fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(ip[:]), at.Port())
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(table)) {
		// sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode; st 0A is LISTEN
		fields := strings.Fields(line)
		if len(fields) > 9 && fields[1] == local && fields[3] == "0A" && hasOpen(pid, "socket:["+fields[9]+"]") {
			return true
		}
	}
	return false
}

func hasOpen(pid int, name string) bool {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && target == name {
			return true
		}
	}
	return false
}
