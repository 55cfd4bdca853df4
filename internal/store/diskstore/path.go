// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"os"
	"path/filepath"
	"strings"
)

// A key becomes a file name by writing '/' as '+', so that no key makes directories or leaves its own. A name that is
// too long for a file system is cut into directories of maxName characters, each marked with a '~' at its end. None of
// the two characters can be in a key, and the order of names is not needed: listings sort keys.
//
// Objects lie in directories named by the first three characters of their keys, so that none grows without end; their
// number stays bounded as long as keys begin alike or at random. The object "o4x/y" is the file objects/o4x/o4x+y.
const (
	slash   = "+"
	mark    = "~"
	maxName = 200
	fanOut  = 3
)

// fileName returns the relative path for a key.
func fileName(key string) string {
	name := strings.ReplaceAll(key, "/", slash)
	var b strings.Builder
	for len(name) > maxName {
		b.WriteString(name[:maxName])
		b.WriteString(mark)
		b.WriteByte(filepath.Separator)
		name = name[maxName:]
	}
	b.WriteString(name)
	return b.String()
}

func fanOutName(key string) string {
	return strings.ReplaceAll(key[:min(fanOut, len(key))], "/", slash)
}

func (f *folder) objectPath(key string) string {
	return f.join(objectsName, fanOutName(key), fileName(key))
}

// uploadPath is the file that gathers the parts of an upload. The id follows a mark, so that a listing tells both.
func (f *folder) uploadPath(key, id string) string {
	return f.join(partsName, fileName(key)) + mark + id
}

// walkNames calls fn with every file below dir: its path and its name with the names of the directories before it,
// undone as far as [fileName] made them. Entries that go meanwhile are left out.
func walkNames(dir, before string, fn func(path, name string) error) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if os.IsNotExist(err) {
			return nil
		}
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			err = walkNames(path, before+strings.TrimSuffix(e.Name(), mark), fn)
		} else {
			err = fn(path, strings.ReplaceAll(before+e.Name(), slash, "/"))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
