// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"io"
)

// MaxObjectKey is the most bytes that an object key may have (S3: 1,024). Keys are made of [a-z0-9/._-], begin and
// end with a letter or digit, and none is a directory prefix of another: "a" and "a/b" cannot both be keys.
const MaxObjectKey = 1024

// Objects is bytes under a key. A key is absent or complete, never partial. All methods are safe for concurrent use.
//
// After success, every later call anywhere sees the effect (A3). ErrUnavailable means that nothing happened,
// ErrUnknownOutcome that it may have; every method can simply be called again. A canceled context ends a call with the
// context's error and leaves the outcome of a Put or Delete unknown.
type Objects interface {
	// Put makes or replaces the object from exactly size bytes of r, durable when it returns. Where r gives fewer or
	// more, or fails, the error wraps that cause (a short one: io.ErrUnexpectedEOF) and the key is as it was.
	// Callers never put different bytes under one key; replacing exists so that a lost reply can be repeated.
	Put(ctx context.Context, key string, r io.Reader, size int64) error

	// Open reads length bytes from offset; a length of -1 means to the end. Absent is ErrNotFound; a range that does
	// not begin inside the object is ErrInvalid (offset 0 of an empty object is fine). The reader stays good when the
	// object is deleted meanwhile, or fails; it never gives other bytes. On disk it is an *os.File, positioned at
	// offset, when length is -1, so that a response can be sent by the kernel.
	Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)

	// Stat tells the size of an object. Absent is ErrNotFound.
	Stat(ctx context.Context, key string) (ObjectInfo, error)

	// Delete removes an object. An absent one is no error.
	Delete(ctx context.Context, key string) error

	// List reads a page of the keys that begin with prefix, in byte order, after the given key (exclusive, "" for the
	// start), up to limit (1 to MaxLimit). Keys that are there throughout are seen once; others perhaps. No
	// correctness argument may treat it as a snapshot.
	List(ctx context.Context, prefix, after string, limit int) ([]ObjectInfo, error)
}

// ObjectInfo describes an object.
type ObjectInfo struct {
	Key  string
	Size int64
}

// Multipart makes objects from parts. An upload belongs to one key, and its object is absent until Complete.
type Multipart interface {
	// Begin starts an upload of key and returns its id.
	Begin(ctx context.Context, key string) (id string, err error)

	// Turn returns a number above all that it returned before; it is no call that could fail. Where parts share a file it
	// orders the calls of Part. Who writes reads who may write to the upload, takes a turn, commits that from now on it is
	// they, and calls Part: of two whose commits both hold, the later commit has the later turn.
	Turn() int64

	// Part stores one part, durable when it returns, and says how many bytes it took and its mark. Turns and numbers begin at 1.
	// offset is where the part belongs in the object. On disk, parts are appended to one file: the file is cut to
	// offset first (what an earlier attempt left behind it goes), and offset beyond its end is ErrInvalid. size -1
	// means until r ends, where MinPart is 0. Where r fails, the bytes that came are kept, n says how many, and err
	// wraps the cause: an upload that its client may resume. A missing upload is ErrNotFound.
	//
	// Where MinPart is above 0, as on S3, parts are kept apart by number, 1 to [MaxParts]. turn and offset are not looked at; size
	// must be known; a part is kept whole or not at all, in place of the one that had its number. Who writes there never gives
	// a number twice, since a call that was given up may land later.
	//
	// Two calls for one upload can overlap when a client came back on a new connection. Where parts share a file, the call
	// of the later turn ends the earlier one: that fails with ErrConflict and writes no byte once the later one has begun.
	// If it had not begun itself by then, it has changed and read nothing. ErrConflict names no condition here.
	Part(ctx context.Context, key, id string, turn int64, number int, offset int64, r io.Reader, size int64) (p Part, err error)

	// Complete makes the object from the parts in order, of which there may be more than those. Where one but the last has fewer
	// than MinPart bytes, or is not what was stored, it is ErrInvalid. A missing upload is ErrNotFound, also when an earlier call has
	// completed it: the object is there then, of the parts that that call named. Where they were the same, it may be no error.
	Complete(ctx context.Context, key, id string, parts []Part) error

	// Abort removes the upload and its parts. A missing one is no error. A completed object stays.
	Abort(ctx context.Context, key, id string) error

	// Pending lists the unfinished uploads of all keys that begin with prefix, for audits.
	Pending(ctx context.Context, prefix string) ([]PendingUpload, error)

	// MinPart is the least size of every part but the last: 0 on disk, 5 MiB on S3.
	MinPart() int64
}

// Part is a stored part.
type Part struct {
	Number int
	Size   int64
	Mark   string // printable ASCII, short. S3: its ETag and checksum; "" on disk
}

// PendingUpload names an unfinished multipart upload.
type PendingUpload struct{ Key, ID string }

// ValidObjectKey tells whether key keeps the rule of [MaxObjectKey].
func ValidObjectKey(key string) bool {
	if key == "" || len(key) > MaxObjectKey {
		return false
	}
	alnum := func(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }
	for i := range len(key) {
		c := key[i]
		if !alnum(c) && c != '.' && c != '_' && c != '-' && c != '/' {
			return false
		}
		if c == '/' && (!alnum(key[max(i-1, 0)]) || i+1 < len(key) && !alnum(key[i+1])) {
			return false
		}
	}
	return alnum(key[0]) && alnum(key[len(key)-1])
}
