// SPDX-License-Identifier: Apache-2.0

package refcount_test

import (
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/refcount"
	"tare/internal/store"
)

// An upload in pieces owns each object that it names, until it ends or names it no more (C1).
func TestSessionOwnsItsPieces(t *testing.T) {
	d := digest.FromString(big)
	for name, end := range map[string]func(w *world, s refcount.Session){
		"finished first": func(w *world, s refcount.Session) { w.must(w.Finish(t.Context(), s, d, int64(len(big)))) },
		"finished second": func(w *world, s refcount.Session) {
			w.upload(repo, big)
			w.must(w.Finish(t.Context(), s, d, int64(len(big))))
		},
		"finished in the table": func(w *world, s refcount.Session) {
			w.must(w.FinishInline(t.Context(), s, digest.FromString("x"), "x"))
		},
		"canceled": func(w *world, s refcount.Session) {
			w.must(w.Discard(t.Context(), repo, s.ID, w.clock.Now().Add(time.Hour)))
		},
		"expired": func(*world, refcount.Session) {},
		"gone on with": func(w *world, s refcount.Session) {
			s.TailObject, s.NextTail = s.NextTail, ""
			_, err := w.Write(t.Context(), s)
			w.must(err)
		},
		"begun again": func(w *world, s refcount.Session) {
			_, err := w.Write(t.Context(), refcount.Session{ID: s.ID, Repo: repo})
			w.mustBe(err, "BLOB_UPLOAD_INVALID")
			s.Object, s.TailObject, s.NextTail = w.NewObject(), "", ""
			_, err = w.Write(t.Context(), s)
			w.must(err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s, err := w.Write(t.Context(), refcount.Session{ID: "u", Repo: repo, Object: w.NewObject(), TailObject: w.NewObject(),
				TailSize: 1, NextTail: w.NewObject(), Burnt: 7, Offset: int64(len(big))})
			w.must(err)
			read, err := w.Session(t.Context(), repo, "u")
			w.must(err)
			if read.TailObject != s.TailObject || read.NextTail != s.NextTail || read.TailSize != 1 || read.Burnt != 7 {
				t.Fatalf("wrote %+v, read %+v", s, read)
			}
			for object, content := range map[string]string{s.Object: big, s.TailObject: "x", s.NextTail: "y"} {
				w.must(w.store.Put(t.Context(), object, strings.NewReader(content), int64(len(content))))
			}
			w.audit()
			end(w, read)
			w.audit()
			w.settle()
			if n := w.left(); n != 0 || w.objects() != 0 {
				t.Fatalf("%d rows and %d objects are left", n, w.objects())
			}
		})
	}
}

// What an upload gathers can have a second owner no more than its object can.
func TestFsckFindsAPieceOfTwo(t *testing.T) {
	w := newWorld(t)
	s, err := w.Write(t.Context(), refcount.Session{ID: "u", Repo: repo, TailObject: w.NewObject(), TailSize: 1})
	w.must(err)
	w.must(w.store.Put(t.Context(), s.TailObject, strings.NewReader("x"), 1))
	other := store.Row{{Name: "state", Value: store.String("open")}, {Name: "v", Value: store.String("v")},
		{Name: "tnext", Value: store.String(s.TailObject)}, {Name: "due", Value: store.Int(w.clock.Now().Add(time.Hour).UnixMilli())}}
	row := store.NewRow(append(other, store.Attr{Name: "shard", Value: store.Int(0)})...)
	w.must(w.store.Commit(t.Context(), store.Tx{Token: "t", Ops: []store.Op{{Key: store.Key{PK: "s#other", SK: "s"}, Kind: store.OpPut, Row: row}}}))
	findings, err := w.Audit(t.Context(), w.store)
	w.must(err)
	for _, f := range findings {
		if strings.Contains(f.Text, "owned by s#other") && strings.Contains(f.Text, "s#u") && f.Invariant == "C1" {
			return
		}
	}
	t.Fatal(findings)
}
