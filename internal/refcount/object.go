// SPDX-License-Identifier: Apache-2.0

package refcount

import "tare/internal/store"

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

// owned names the bytes that a row owns (C1), "" for a row that owns none.
func owned(k store.Key, r store.Row) string {
	switch kind, rest := kindOf(k); kind {
	case kindBlob, kindBody, kindSession:
		return r.Text(attrObject)
	case kindTombstone:
		if r != nil {
			return rest
		}
	}
	return ""
}
