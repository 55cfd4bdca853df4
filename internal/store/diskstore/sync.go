// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"io"
	"os"
	"sync/atomic"
)

// discard closes what has nothing to lose: it was only read, or what was written is synced or given up.
func discard(c io.Closer) { _ = c.Close() }

// syncer runs and counts the calls that make bytes durable. All of them go through it, so that a test can let one fail.
type syncer struct {
	count atomic.Int64
	// around is nil outside tests. It is called with what is being synced, a path or tableName, and does it or not.
	around func(name string, sync func() error) error
}

// do makes something durable. Its error is a failure, unless there was no room: then what was written before and not
// synced is lost, and nothing else.
func (s *syncer) do(name string, sync func() error) error {
	s.count.Add(1)
	if s.around != nil {
		return s.around(name, sync)
	}
	return sync()
}

// file makes the content and size of a file durable.
func (s *syncer) file(f *os.File) error {
	return s.do(f.Name(), func() error { return datasync(f) })
}

// dir makes the entries of a directory durable.
func (s *syncer) dir(path string) error {
	err := s.do(path, func() error {
		d, err := os.Open(path)
		if err != nil {
			return err
		}
		defer discard(d)
		return d.Sync()
	})
	if err != nil {
		return &failure{err}
	}
	return nil
}
