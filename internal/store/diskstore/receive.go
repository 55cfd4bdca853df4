// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"context"
	"io"
	"os"
)

const (
	bufferSize     = 1 << 20 // smaller ones cost system calls, larger ones gained nothing
	writebackEvery = 8 << 20
)

// sink writes a file from an offset on, and has the kernel begin early to bring it to the disk: the sync at the end then
// finds most of it there.
type sink struct {
	file         *os.File
	at, flushing int64
}

func newSink(f *os.File, offset int64) *sink { return &sink{file: f, at: offset, flushing: offset} }

func (s *sink) write(p []byte) error {
	n, err := s.file.WriteAt(p, s.at)
	s.at += int64(n)
	if s.at-s.flushing >= writebackEvery {
		startWriteback(s.file, s.flushing, s.at-s.flushing)
		s.flushing = s.at
	}
	return err
}

// receive gives write what comes from r: exactly size bytes, or with a size of -1 all. It returns how many bytes were
// written; where r fails, that is all that came. The error is the context's, a [misuse] or what write returned.
func (s *Store) receive(ctx context.Context, r io.Reader, size int64, write func([]byte) error) (int64, error) {
	buffer := s.buffers.Get().(*[bufferSize]byte)
	defer s.buffers.Put(buffer)
	n := int64(0)
	for n != size {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		p := buffer[:]
		if size >= 0 {
			p = p[:min(bufferSize, size-n)]
		}
		m, readErr := fill(r, p)
		if m > 0 {
			if err := write(p[:m]); err != nil {
				return n, err
			}
			n += int64(m)
		}
		if readErr == io.EOF && size < 0 {
			return n, nil
		}
		if readErr != nil && n != size {
			return n, sourceFailed(ctx, readErr)
		}
	}
	switch m, err := fill(r, buffer[:1]); {
	case m > 0:
		return n, &misuse{errOverrun}
	case err != io.EOF:
		return n, sourceFailed(ctx, err)
	}
	return n, nil
}

// fill reads until p is full or r has an error, which it returns as it is: [io.ReadFull] calls the end of a stream by the
// name that a torn connection has.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	return n, err
}

// sourceFailed is the error of a reader that failed or ended too soon, or the context's if that has ended.
func sourceFailed(ctx context.Context, err error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return &misuse{err}
}

// written sorts the error of a write or sync of file bytes: where there was no room, the bytes are lost and nothing
// else. Any other one is a failure, and the store dead.
func (s *Store) written(err error) error {
	if err == nil || outOfRoom(err) {
		return err
	}
	return s.die(&failure{err})
}
