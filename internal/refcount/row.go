// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"errors"
	"fmt"
	"time"

	"tare/internal/store"
)

// Attribute names. They are short because a table bills them with every row.
const (
	attrFormat    = "f" // int: format version of the row
	attrDue       = store.AttrDue
	attrShard     = store.AttrShard
	attrVersion   = "v"     // string: token of the write that made this incarnation
	attrState     = "state" // string
	attrCreated   = "created"
	attrDigest    = "digest"
	attrMediaType = "mt"
	attrSize      = "size"
	attrExpires   = "expires"
	attrBefore    = "before" // string: version that a tag had before a move
	attrGone      = "gone"   // string: token of the deletion that a reverse row went with
	attrCursor    = "cur"    // int: the manifest holds its first cur edges
	attrEdges     = "edges"  // bytes: packed edges
	attrHeld      = "held"   // string: version of the body, whose edges a manifest's cursor counts
	attrTags      = "tags"
	attrParents   = "parents"
	attrSubject   = "subject"
	attrArtifact  = "at"
	attrPushed    = "pushed"
	attrUntagged  = "untagged"
	attrDeletion  = "deletion" // string: token of the deletion that can be undone
	attrDeleted   = "deleted"  // int: when
	attrCascade   = "cascade"  // int 1: referrers have still to go
	attrBody      = "body"     // bytes
	attrObject    = "object"
	attrReferrer  = "desc"     // string: descriptor as JSON
	attrRefs      = "refs"     // int
	attrLinks     = "links"    // int
	attrCounting  = "counting" // string: token of an audit that counts anew; every change of a count takes it away
	attrBytes     = "bytes"    // bytes of a content row; int on a tombstone: how many
	attrRepo      = "repo"
	attrOffset    = "off"
	attrHash      = "hash" // bytes: state of the running hash
	attrTail      = "tail" // bytes: what came so far of an upload that is still small
	attrMultipart = "mp"   // string: id of the multipart upload
	attrParts     = "parts"

	attrTailObject = "tobj"  // string: object of the bytes that do not make a part
	attrTailSize   = "tsize" // int: how many they are
	attrNextTail   = "tnext" // string: object that may become attrTailObject
	attrBurnt      = "burnt" // int: highest number of a part that was given to a request

	attrPart  = "part"  // int: size of the parts of a direct upload
	attrLease = "lease" // int: until when a direct upload is somebody's to verify
	attrAsked = "asked" // int: when somebody was last asked to verify it
	attrLate  = "late"  // int: until when a put may still come to the object of a blob or a tombstone

	attrWhy      = "why"
	attrSince    = "since"
	attrSecret   = "secret"   // bytes
	attrPrevious = "previous" // bytes: the secret before
	attrUntil    = "until"    // int: from when on it is not good any more
	attrLast     = "last"     // string: how far a walk has come
	attrRounds   = "rounds"   // int: how often it has come to the end
	attrRights   = "rights"   // string: what a credential may do
	attrSum      = "sum"      // bytes: SHA-256 of its token
)

// format is the version of every row written today. A reader understands older ones and refuses newer ones.
const format = 1

// errNewer is the error of a row that a newer program wrote.
var errNewer = errors.New("must be upgraded")

func checkFormat(k store.Key, r store.Row) error {
	if r != nil && r.Num(attrFormat) > format {
		return &store.Error{Op: "read", Key: k.String(), Outcome: store.ErrCorrupt,
			Cause: fmt.Errorf("row format %d; this program knows up to %d and %w", r.Num(attrFormat), format, errNewer)}
	}
	return nil
}

func text(name, v string) store.Attr {
	if v == "" {
		return store.Attr{Name: name}
	}
	return store.Attr{Name: name, Value: store.String(v)}
}

func num(name string, n int64) store.Attr { return store.Attr{Name: name, Value: store.Int(n)} }

// some is num, and no attribute where n is 0.
func some(name string, n int64) store.Attr {
	if n == 0 {
		return store.Attr{Name: name}
	}
	return num(name, n)
}

func data(name, b string) store.Attr { return store.Attr{Name: name, Value: store.Bytes(b)} }

// row makes a row of the present format that can become due: it always knows its shard, so that an update that sets
// the due need not.
func row(k store.Key, attrs ...store.Attr) store.Row {
	return store.NewRow(append(attrs, num(attrFormat, format), num(attrShard, shardOf(k)))...)
}

// plainRow makes a row that never becomes due.
func plainRow(attrs ...store.Attr) store.Row {
	return store.NewRow(append(attrs, num(attrFormat, format))...)
}

func due(t time.Time) store.Attr { return num(attrDue, t.UnixMilli()) }

func exists() store.Cond { return store.Cond{Is: store.Present} }

func absent() store.Cond { return store.Cond{Is: store.Absent} }

func is(attr string, v string) store.Cond {
	return store.Cond{Attr: attr, Is: store.Equal, Value: store.String(v)}
}

func equals(attr string, n int64) store.Cond {
	return store.Cond{Attr: attr, Is: store.Equal, Value: store.Int(n)}
}

func over(attr string, n int64) store.Cond {
	return store.Cond{Attr: attr, Is: store.Greater, Value: store.Int(n)}
}

func under(attr string, n int64) store.Cond {
	return store.Cond{Attr: attr, Is: store.Less, Value: store.Int(n)}
}

func atMost(attr string, n int64) store.Cond {
	return store.Cond{Attr: attr, Is: store.LessEqual, Value: store.Int(n)}
}

func without(attr string) store.Cond { return store.Cond{Attr: attr, Is: store.Absent} }

// fromMilli is the inverse of due; the zero time for 0.
func fromMilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
