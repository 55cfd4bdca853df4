// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// What is in a data folder. Other files there are not the store's and are left alone.
const (
	lockName   = "lock"        // empty; whoever has the folder open holds an flock on it
	formatName = "format.json" // {"format":"tare","version":2}
	tableName  = "table.db"    // the rows, a bbolt file
	// log.0 and log.1: what the table may not have yet, see log.go
	objectsName = "objects" // objects/<first three characters>/<key>, see path.go
	partsName   = "parts"   // parts/<key>~<id>, the unfinished uploads
	tempName    = "tmp"     // what is being written; emptied by Open
)

// format is the content of format.json.
type format struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
}

// The format of the folder as a whole: the layout above and all encodings below it. A folder of version 1 has no log. It
// is read, and becomes one of this version, which a program that knows no log must not touch: it would leave out what only
// the log has.
const (
	formatFormat  = "tare"
	formatVersion = 2
	oldestVersion = 1
)

const (
	dirMode  = 0o700
	fileMode = 0o600
)

// folder is a data folder that this process has locked.
type folder struct {
	path string
	sync *syncer
	lock *os.File
	// version is what format.json said, 0 where there was none.
	version int
	// mark is the name of a file that says that the folder is not complete, "" where there is none.
	mark string
	// made are the folder, the directories above it and the lock, as far as this opening made them, in this order. fresh:
	// there was no store in the folder.
	made  []string
	fresh bool

	mu      sync.Mutex          // guards durable
	durable map[string]struct{} // directories whose entry in their parent was synced by this process
}

// openFolder locks a data folder and checks its format. A folder that is absent or empty becomes a data folder, in
// steps that a crash may interrupt anywhere: the mark first, if there is to be one, the format next, then the table (by its
// creator), objects/ last. With a mark, no other folder is opened.
func openFolder(path, mark string, sync *syncer) (*folder, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	f := &folder{path: path, sync: sync, mark: mark, durable: make(map[string]struct{})}
	if err := f.take(); err != nil {
		f.undo()
		return nil, err
	}
	if err := f.prepare(); err != nil {
		return nil, errors.Join(err, f.giveUp())
	}
	return f, nil
}

// take makes the folder where it is absent, and locks it.
func (f *folder) take() error {
	if err := f.makeDir(f.path); err != nil {
		return err
	}
	// Looked at before the lock file is made, so that a folder of somebody else's stays as it is.
	if err := f.check(); err != nil {
		return err
	}
	return f.acquire()
}

// giveUp gives the lock back when what this opening made is gone again.
func (f *folder) giveUp() error {
	f.undo()
	return f.close()
}

// undo removes what this opening made, the last first, as far as that goes: what stays is a beginning that was interrupted,
// which the next opening completes. A folder that was there is left as it was. Where objects were put, all stays.
func (f *folder) undo() {
	if f.fresh && f.undoFiles() != nil {
		return
	}
	for _, path := range slices.Backward(f.made) {
		if os.Remove(path) != nil {
			return
		}
	}
}

func (f *folder) undoFiles() error {
	for _, name := range []string{objectsName, partsName, segmentNames[1], segmentNames[0], tableName, formatName} {
		if err := os.Remove(f.join(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if f.mark != "" {
		// It is the last to go on the disk as well.
		if err := f.sync.dir(f.path); err != nil {
			return err
		}
		if err := os.Remove(f.join(f.mark)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.RemoveAll(f.join(tempName))
}

func (f *folder) join(elem ...string) string {
	return filepath.Join(append([]string{f.path}, elem...)...)
}

// close gives the lock back.
func (f *folder) close() error { return f.lock.Close() }

// acquire takes the lock, or fails at once with ErrLocked. A lock that is not in its place any more, because its folder was
// given up meanwhile, is none.
func (f *folder) acquire() error {
	path := f.join(lockName)
	lock, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	made := err == nil
	if errors.Is(err, fs.ErrExist) {
		lock, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	}
	if err != nil {
		return err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		discard(lock)
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("%w: %s", ErrLocked, f.path)
		}
		return fmt.Errorf("locking %s: %w", f.path, err)
	}
	taken, err := lock.Stat()
	if err != nil {
		return errors.Join(err, lock.Close())
	}
	if there, err := os.Stat(path); err != nil || !os.SameFile(taken, there) {
		return errors.Join(fmt.Errorf("%w: %s", ErrLocked, f.path), err, lock.Close())
	}
	f.lock = lock
	if made {
		f.made = append(f.made, path)
	}
	return nil
}

// check tells whether the folder is a store of this format, or can become one.
func (f *folder) check() error {
	b, err := os.ReadFile(f.join(formatName))
	if errors.Is(err, fs.ErrNotExist) {
		return f.checkEmpty()
	}
	if err != nil {
		return err
	}
	var got format
	if err := json.Unmarshal(b, &got); err != nil || got.Format != formatFormat {
		return fmt.Errorf("%w: %s does not say %q", ErrForeign, f.join(formatName), formatFormat)
	}
	if got.Version < oldestVersion || got.Version > formatVersion {
		return fmt.Errorf("%w: %s has version %d, this program reads versions %d to %d", ErrVersion, f.path, got.Version, oldestVersion, formatVersion)
	}
	f.version = got.Version
	return nil
}

// checkEmpty tells whether nothing is in the folder but what a beginning that was interrupted leaves behind, and what
// a file system has at its root.
func (f *folder) checkEmpty() error {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.Name() {
		case lockName, "lost+found":
		case tempName:
			if err := f.checkBegun(); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%w: %s has %s and no %s", ErrForeign, f.path, e.Name(), formatName)
		}
	}
	return nil
}

// checkBegun tells whether the folder of what is being written has nothing that a beginning does not write there: it would
// be removed.
func (f *folder) checkBegun() error {
	entries, err := os.ReadDir(f.join(tempName))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != formatName {
			return fmt.Errorf("%w: %s has %s and no %s", ErrForeign, f.path, filepath.Join(tempName, e.Name()), formatName)
		}
	}
	return nil
}

// prepare makes what is missing in a locked folder, up to the table, and removes what was being written.
func (f *folder) prepare() error {
	if err := f.check(); err != nil { // again: another process may have made it meanwhile
		return err
	}
	f.fresh = f.version == 0
	if f.mark != "" {
		if err := f.makeMark(); err != nil {
			return err
		}
	}
	if err := f.makeDir(f.join(tempName)); err != nil {
		return err
	}
	if err := f.emptyTemp(); err != nil {
		return err
	}
	if _, err := os.Stat(f.join(formatName)); errors.Is(err, fs.ErrNotExist) {
		if err := f.writeFormat(); err != nil {
			return err
		}
	}
	_, tableErr := os.Stat(f.join(tableName))
	_, objectsErr := os.Stat(f.join(objectsName))
	if errors.Is(tableErr, fs.ErrNotExist) && objectsErr == nil {
		return fmt.Errorf("%s is missing, and %s is there: restore the table from a backup", f.join(tableName), objectsName)
	}
	if name, missing := f.missingLog(); missing && objectsErr == nil && f.version == formatVersion {
		return fmt.Errorf("%s is missing, and %s is there: restore the table from a backup", f.join(name), objectsName)
	}
	return nil
}

// makeMark makes the mark of a folder that is to become a data folder, durably.
func (f *folder) makeMark() error {
	if !f.fresh {
		return fmt.Errorf("%w: %s", ErrNotNew, f.path)
	}
	mark, err := os.OpenFile(f.join(f.mark), os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	if err := errors.Join(f.sync.file(mark), mark.Close()); err != nil {
		return err
	}
	return f.sync.dir(f.path)
}

// complete makes the last directories of a folder whose table is there.
func (f *folder) complete() error {
	if err := f.makeDir(f.join(partsName)); err != nil {
		return err
	}
	return f.makeDir(f.join(objectsName))
}

func (f *folder) emptyTemp() error {
	entries, err := os.ReadDir(f.join(tempName))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(f.join(tempName, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (f *folder) writeFormat() error {
	b, err := json.Marshal(format{formatFormat, formatVersion})
	if err != nil {
		return err
	}
	temp, err := os.OpenFile(f.join(tempName, formatName), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = temp.Write(append(b, '\n'))
	if err == nil {
		err = f.sync.file(temp)
	}
	if err := errors.Join(err, temp.Close()); err != nil {
		return err
	}
	if err := f.rename(temp.Name(), f.join(formatName)); err != nil {
		return err
	}
	f.version = formatVersion
	return nil
}

// rename moves a synced file to its place, durably.
func (f *folder) rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return f.sync.dir(filepath.Dir(to))
}

// remove removes a file, durably. An absent one is no error: but whoever removed it may not have synced that yet.
func (f *folder) remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Stat(filepath.Dir(path)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return f.sync.dir(filepath.Dir(path))
}

// makeDir makes a directory and those above it, durably. A directory that is there already may be one whose maker
// crashed before it synced, so that each is synced once in the life of this process.
func (f *folder) makeDir(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.makeDirLocked(path)
}

func (f *folder) makeDirLocked(path string) error {
	if _, ok := f.durable[path]; ok {
		return nil
	}
	err := os.Mkdir(path, dirMode)
	if errors.Is(err, fs.ErrNotExist) {
		if err := f.makeDirLocked(filepath.Dir(path)); err != nil {
			return err
		}
		err = os.Mkdir(path, dirMode)
	}
	if err != nil && !isDir(path) {
		return err
	}
	if err == nil && f.lock == nil {
		f.made = append(f.made, path)
	}
	// The entry of a folder that was there before is its owner's matter, and its parent need not be readable.
	if err == nil || len(path) > len(f.path) {
		if err := f.sync.dir(filepath.Dir(path)); err != nil {
			return err
		}
	}
	f.durable[path] = struct{}{}
	return nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// discard closes what has nothing to lose: it was only read, or what was written is synced or given up.
func discard(c io.Closer) { _ = c.Close() }

// available is how many bytes the file system has left for this process.
func (f *folder) available() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(f.path, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil //nolint:unconvert // it has another type on other systems
}
