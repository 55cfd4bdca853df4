// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"os"
	"sync/atomic"
)

// syncer runs and counts the calls that make bytes durable. All of them go through it, so that a test can let one fail.
type syncer struct {
	count atomic.Int64
	// around is nil outside tests. It is called with what is being synced, a path or tableName, and does it or not.
	around func(name string, sync func() error) error
}

// do makes something durable. When it fails, what was written since the last time may be lost in part, and to call it
// again would not tell: the kernel reports an error once.
func (s *syncer) do(name string, sync func() error) error {
	s.count.Add(1)
	if s.around != nil {
		return s.around(name, sync)
	}
	return sync()
}

// file makes the content and size of a file durable. What its error means is the caller's to say: a file that nobody was
// promised can go.
func (s *syncer) file(f *os.File) error {
	return s.do(f.Name(), func() error { return datasync(f) })
}

// dir makes the entries of a directory durable. Its error is a [failure].
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
