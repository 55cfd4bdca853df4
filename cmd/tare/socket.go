// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// socketName is the administration socket in the data folder.
const socketName = "admin.sock"

// maxSocketPath is the longest path that a socket address holds on every system that we know (Linux 108, BSD and macOS
// 104, with a zero byte at the end).
const maxSocketPath = 103

// listenSocket listens on the administration socket of a data folder that this process has locked. Only this user can
// connect. A socket that a crash left behind is replaced.
func listenSocket(folder string) (net.Listener, error) {
	// The socket appears under its name only when its mode is right: it is made in a directory of our own.
	nest, err := os.MkdirTemp(folder, "."+socketName+"-") // has mode 0700
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(nest)
	var l *net.UnixListener
	err = shortPath(nest, "s", func(path string) error {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // under a name that it has no more
	socket := filepath.Join(folder, socketName)
	if err := errors.Join(os.Chmod(filepath.Join(nest, "s"), 0o600), os.Rename(filepath.Join(nest, "s"), socket)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &socketListener{l, socket}, nil
}

// socketListener removes its socket when it is closed.
type socketListener struct {
	net.Listener
	path string
}

func (l *socketListener) Close() error {
	err := os.Remove(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(l.Listener.Close(), err)
}

// dialSocket connects to the server of a data folder. Where none runs, the error is errNoServer.
func dialSocket(ctx context.Context, folder string) (conn net.Conn, err error) {
	err = shortPath(folder, socketName, func(path string) error {
		conn, err = new(net.Dialer).DialContext(ctx, "unix", path)
		return err
	})
	if err != nil && ctx.Err() == nil && gone(err) {
		return nil, errNoServer
	}
	return conn, err
}

// errNoServer: no server runs on the data folder.
var errNoServer = errors.New("no server runs on the data folder")

// gone tells whether the error of a connect says that nobody listens.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// shortPath calls do with a path for the name in dir that fits into a socket address: through a symbolic link in the
// temporary directory, which goes when do returns, where the path itself is too long.
func shortPath(dir, name string, do func(path string) error) error {
	if path := filepath.Join(dir, name); len(path) <= maxSocketPath {
		return do(path)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	temp, err := os.MkdirTemp("", "tare")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	link := filepath.Join(temp, "d")
	if err := os.Symlink(dir, link); err != nil {
		return err
	}
	path := filepath.Join(link, name)
	if len(path) > maxSocketPath {
		return fmt.Errorf("the path of the temporary directory, %s, is too long for a socket", temp)
	}
	return do(path)
}
