// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"errors"
	"os"
	"sync"
)

// room is the part of the table's file that the disk has set aside. It grows ahead of the pages that are in use, and no
// page may lie behind it: so an update is refused for want of space before it writes anything. The headroom at its end
// stays there when the disk is full, for the transactions that free space: a copy-on-write tree needs pages to delete.
//
// What is committed is in the log first, and has to find room in the table later: so the room is promised when a
// transaction is committed.
type room struct {
	file     *os.File // a handle of its own: bbolt's is private
	folder   *folder
	headroom int64

	mu   sync.Mutex // guards what follows
	size int64      // of the file
	used int64      // of its start, free pages included, as of the last update
	free int64      // of these
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

// openRoom takes the file as it is, and has set aside what in it is not: bbolt leaves holes in a file that it makes, and so
// does who copies one. Where the disk has no room for them, a write there can run out of room, which the engine survives.
func openRoom(path string, f *folder, headroom int64) (*room, error) {
	file, err := os.OpenFile(path, os.O_RDWR, fileMode)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	left, err := f.available()
	if err == nil {
		err = allocateHoles(file, left)
	}
	if err != nil && !outOfRoom(err) {
		return nil, errors.Join(err, file.Close())
	}
	return &room{file: file, folder: f, size: info.Size(), headroom: headroom}, nil
}

func (r *room) close() error { return r.file.Close() }

// measured notes how much of the file is in use since the last update.
func (r *room) measured(used, free int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used, r.free = used, free
}

// provide makes room for an update that takes need bytes, as far as the disk allows, and returns where the room ends.
func (r *room) provide(need int64) (end int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.grow(max(need, r.headroom)); err != nil && !outOfRoom(err) {
		return 0, err
	}
	return int(r.size), nil
}

// promise sets room aside for so many bytes that are to come, beside the headroom. It tells whether that is short.
func (r *room) promise(bytes int64) (short bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err = r.grow(bytes + r.headroom)
	if outOfRoom(err) {
		return r.size-r.used+r.free < bytes+r.headroom, nil
	}
	return false, err
}

// grow makes the file longer where less than so many bytes lie behind the used ones. Free pages do not count: a large row
// needs as many in a row. Out of room, the file is as long as before; any other error is a failure.
func (r *room) grow(bytes int64) error {
	missing := bytes - (r.size - r.used)
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
