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

	mu      sync.Mutex          // guards durable
	durable map[string]struct{} // directories whose entry in their parent was synced by this process
}

// openFolder locks a data folder and checks its format. A folder that is absent or empty becomes a data folder, in
// steps that a crash may interrupt anywhere: the format first, the table next (by its creator), objects/ last.
func openFolder(path string, sync *syncer) (*folder, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	f := &folder{path: path, sync: sync, durable: make(map[string]struct{})}
	if err := f.makeDir(path); err != nil {
		return nil, err
	}
	// Looked at before the lock file is made, so that a folder of somebody else's stays as it is.
	if err := f.check(); err != nil {
		return nil, err
	}
	if err := f.acquire(); err != nil {
		return nil, err
	}
	if err := f.prepare(); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *folder) join(elem ...string) string {
	return filepath.Join(append([]string{f.path}, elem...)...)
}

// close gives the lock back.
func (f *folder) close() error { return f.lock.Close() }

// acquire takes the lock, or fails at once with ErrLocked.
func (f *folder) acquire() error {
	lock, err := os.OpenFile(f.join(lockName), os.O_RDWR|os.O_CREATE, fileMode)
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
	f.lock = lock
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
		case lockName, tempName, "lost+found":
		default:
			return fmt.Errorf("%w: %s has %s and no %s", ErrForeign, f.path, e.Name(), formatName)
		}
	}
	return nil
}

// prepare makes what is missing in a locked folder, up to the table, and removes what was being written.
func (f *folder) prepare() error {
	if err := f.check(); err != nil { // again: another process may have made it meanwhile
		return err
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
