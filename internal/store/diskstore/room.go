// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"errors"
	"os"
)

// room is the part of the table's file that the disk has set aside. It grows ahead of the pages that are in use, and no
// page may lie behind it: so a commit is refused for want of space before it writes anything. The headroom at its end
// stays there when the disk is full, for the transactions that free space: a copy-on-write tree needs pages to delete.
type room struct {
	file     *os.File // a handle of its own: bbolt's is private
	folder   *folder
	size     int64 // of the file
	headroom int64
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

// openRoom takes the file as it is. Its last bytes may not be set aside, when a crash came before a sync or the file is a
// copy: then a write there can run out of room, which the engine survives.
func openRoom(path string, f *folder, headroom int64) (*room, error) {
	file, err := os.OpenFile(path, os.O_RDWR, fileMode)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &room{file: file, folder: f, size: info.Size(), headroom: headroom}, nil
}

func (r *room) close() error { return r.file.Close() }

// provide grows the file where what lies behind the used bytes is less than need. Free pages do not count: a large row
// needs as many in a row. Out of room, the file is as long as before; any other error is a failure.
func (r *room) provide(used, need int64) error {
	missing := need - (r.size - used)
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

// extend makes the file n bytes longer.
func (r *room) extend(n int64) error {
	// What a full disk has left is not touched: an attempt that fails would take it from others for a moment.
	if left, err := r.folder.available(); err == nil && left < n {
		return errNoSpace
	}
	if err := allocate(r.file, r.size, n); err != nil {
		if outOfRoom(err) {
			// Should this fail, the file is longer than it need be, which bbolt does not mind.
			_ = r.file.Truncate(r.size)
			return err
		}
		return &failure{err}
	}
	if err := r.folder.sync.file(r.file); err != nil {
		return &failure{err}
	}
	r.size += n
	return nil
}

// writeZeros makes f n bytes longer by writing them.
func writeZeros(f *os.File, size, n int64) error {
	zeros := make([]byte, min(n, 1<<20))
	for end := size + n; size < end; {
		m, err := f.WriteAt(zeros[:min(int64(len(zeros)), end-size)], size)
		if err != nil {
			return err
		}
		size += int64(m)
	}
	return nil
}
