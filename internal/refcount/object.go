// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"slices"

	"tare/internal/store"
)

// ObjectOf returns the object of the store that a row keeps for good, "" for a row that keeps none: what a copy of a
// registry has to hold besides its rows. Objects of uploads and tombstones are not among them; nobody was promised
// their bytes.
func ObjectOf(it store.Item) string {
	switch kind, _ := kindOf(it.Key); kind {
	case kindBlob, kindBody:
		if object := it.Row.Text(attrObject); !isInline(object) {
			return object
		}
	}
	return ""
}

// ownedBy names the bytes that a row owns (C1).
func ownedBy(k store.Key, r store.Row) []string {
	var objects []string
	switch kind, rest := kindOf(k); kind {
	case kindBlob, kindBody, kindDirect:
		objects = []string{r.Text(attrObject)}
	case kindSession:
		all := sessionOwns(r).objects
		objects = all[:]
	case kindTombstone:
		if r != nil {
			objects = []string{rest}
		}
	}
	return slices.DeleteFunc(objects, func(object string) bool { return object == "" })
}
