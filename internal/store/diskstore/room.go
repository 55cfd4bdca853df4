// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"errors"
	"os"
)

// room is the table's file as the disk knows it. It grows ahead of the pages that are in use, by zeros that are written
// and synced before any page may lie there. That has two uses. A commit only overwrites blocks that the file already
// has, so that its syncs need not wait for the file system's own journal. And the headroom at the end stays
// there when the disk is full, for the transactions that free space: a copy-on-write tree needs pages to delete.
type room struct {
	file     *os.File // a handle of its own: bbolt's is private
	folder   *folder
	size     int64 // of the file; all of it is on the disk
	headroom int64
	zeros    []byte
}

const (
	defaultHeadroom = 4 << 20
	minStep         = 1 << 20 // the room grows by a part of its size between these two
	maxStep         = 32 << 20
	stepPart        = 8
	// smallChange is how many bytes a transaction may add while only the headroom is left: a tombstone, a receipt, a
	// count, all of which are written on the way to less.
	smallChange = 1 << 10
)

// openRoom takes the file as it is. Zeros that a crash left at its end unsynced may be missing: then a write there can
// run out of room, which the engine survives.
func openRoom(path string, f *folder, headroom int64) (*room, error) {
	file, err := os.OpenFile(path, os.O_RDWR, fileMode)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &room{file: file, folder: f, size: info.Size(), headroom: headroom, zeros: make([]byte, 1<<20)}, nil
}

func (r *room) close() error { return r.file.Close() }

// provide grows the file where what lies behind the used bytes is less than the headroom, or than need. Free pages do
// not count: a large row needs as many in a row. Out of room, the file is as long as before; any other error is a failure.
func (r *room) provide(used, need int64) error {
	missing := max(need, r.headroom) - (r.size - used)
	if missing <= 0 {
		return nil
	}
	step := min(max(r.size/stepPart, minStep), maxStep)
	err := r.extend(missing + step)
	if outOfRoom(err) {
		err = r.extend(missing)
	}
	return err
}

// extend makes the file n bytes longer. Out of room, it is as long as before.
func (r *room) extend(n int64) error {
	// The last bytes of a full disk are not touched: zeros that do not fit would take them from others for a moment.
	if left, err := r.folder.available(); err == nil && left < n {
		return errNoSpace
	}
	for at := r.size; at < r.size+n; {
		zeros := r.zeros[:min(int64(len(r.zeros)), r.size+n-at)]
		if _, err := r.file.WriteAt(zeros, at); err != nil {
			if outOfRoom(err) {
				// Should this fail, the file is longer than it need be, which bbolt does not mind.
				_ = r.file.Truncate(r.size)
				return err
			}
			return &failure{err}
		}
		at += int64(len(zeros))
	}
	if err := r.folder.sync.file(r.file); err != nil {
		return &failure{err}
	}
	r.size += n
	return nil
}
