// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"errors"
	"io/fs"
	"os"
)

// segment is one of the files that the log takes turns to write. All its bytes have been written before, so that a
// record overwrites blocks that are there: to sync them, the file system need not write about them elsewhere.
type segment struct {
	file *os.File
	size int64
	sync *syncer
}

// minSegment is the least that a segment can have, on a disk that is full.
const minSegment = 64 << 10

// makeSegment makes an absent segment of so many bytes, or of a part where there is no room for all.
func makeSegment(f *folder, name string, size int64) error {
	if _, err := os.Stat(f.join(name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	temp := f.join(tempName, name)
	for {
		err := f.writeNew(temp, size)
		if err == nil {
			return f.rename(temp, f.join(name))
		}
		if !outOfRoom(err) || size/2 < minSegment {
			return errors.Join(err, os.Remove(temp))
		}
		size /= 2
	}
}

// writeNew makes a file of zeros that are written and synced.
func (f *folder) writeNew(path string, size int64) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	err = writeZeros(file, 0, size)
	if err == nil {
		err = f.sync.file(file)
	}
	return errors.Join(err, file.Close())
}

func openSegment(f *folder, name string) (*segment, error) {
	file, err := os.OpenFile(f.join(name), os.O_RDWR, fileMode)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &segment{file: file, size: info.Size(), sync: f.sync}, nil
}

// extend makes a segment at least size bytes long. Out of room, it is as before.
func (s *segment) extend(size int64) error {
	if size <= s.size {
		return nil
	}
	err := writeZeros(s.file, s.size, size-s.size)
	if err == nil {
		err = s.sync.file(s.file)
	}
	if outOfRoom(err) {
		// Should this fail, the file is longer than it need be.
		_ = s.file.Truncate(s.size)
		return err
	}
	if err != nil {
		return &failure{err}
	}
	s.size = size
	return nil
}

// write makes a record durable. Where its error is not a failure, there was no room on a file system that writes what
// is overwritten to another place, and nothing happened.
func (s *segment) write(at int64, record []byte) error {
	if _, err := s.file.WriteAt(record, at); err != nil {
		if outOfRoom(err) {
			return err
		}
		return &failure{err}
	}
	if err := s.sync.file(s.file); err != nil {
		return &failure{err}
	}
	return nil
}

// read returns all bytes of the segment.
func (s *segment) read() ([]byte, error) { return os.ReadFile(s.file.Name()) }
