// SPDX-License-Identifier: Apache-2.0

package upload_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
	"tare/internal/store/faultstore"
	"tare/internal/store/memstore"
	"tare/internal/upload"
)

func TestMaxBlob(t *testing.T) {
	content := pattern(1, 500)
	w := newWorld(t, upload.Options{MaxBlob: 300})
	for _, size := range []int64{-1, 500} {
		_, err := w.Push(t.Context(), repo, digest.FromString(content), body(content), size)
		w.mustBe(err, oci.TooLarge)
		_, err = w.Finish(t.Context(), repo, w.id(), digest.FromString(content), -1, body(content), size)
		w.mustBe(err, oci.TooLarge)
		_, err = w.Write(t.Context(), repo, w.id(), -1, body(content), size)
		w.mustBe(err, oci.TooLarge)
		id := w.id()
		w.write(id, 0, content[:200], 200, 200)
		_, err = w.Write(t.Context(), repo, id, 200, body(content[:101]), min(size, 101))
		w.mustBe(err, oci.TooLarge)
		id = w.id()
		w.write(id, 0, content[:inline], inline, inline)
		_, err = w.Finish(t.Context(), repo, id, digest.FromString(content), inline, body(content[inline:]), min(size, 500-inline))
		w.mustBe(err, oci.TooLarge)
		w.audit()
	}
	exact := content[:300]
	w.finish(w.id(), -1, exact, -1, exact)
	id := w.id()
	w.write(id, 0, exact[:200], 200, 200)
	w.finish(id, 200, exact[200:], -1, exact)
	w.settle()

	tiny := newWorld(t, upload.Options{MaxBlob: 10})
	_, err := tiny.Push(t.Context(), repo, digest.FromString("12345678901"), body("12345678901"), -1)
	tiny.mustBe(err, oci.TooLarge)
	id = tiny.id()
	tiny.write(id, 0, "12345", 5, 5)
	_, err = tiny.Write(t.Context(), repo, id, 5, body("678901"), -1)
	tiny.mustBe(err, oci.TooLarge)
	_, err = tiny.Finish(t.Context(), repo, id, digest.FromString("12345678901"), 5, body("678901"), 6)
	tiny.mustBe(err, oci.TooLarge)
	tiny.settle()
}

// No byte is taken without room for it; an upload that has all of its bytes can end.
func TestRoom(t *testing.T) {
	full := false
	var asked []int64
	w := newWorld(t, upload.Options{Room: func(n int64) error {
		asked = append(asked, n)
		if full {
			return oci.Errorf(oci.NoSpace, "the disk is almost full")
		}
		return nil
	}})
	id, content := w.id(), pattern(1, 500)
	w.write(id, 0, content, 500, 500)
	full = true
	for _, n := range []int64{1, 100, -1} {
		data := content[:max(n, 1)]
		_, err := w.Write(t.Context(), repo, id, 500, body(data), n)
		w.mustBe(err, oci.NoSpace)
		_, err = w.Push(t.Context(), repo, digest.FromString(data), body(data), n)
		w.mustBe(err, oci.NoSpace)
		_, err = w.Finish(t.Context(), repo, id, digest.FromString(content), 500, body(data), n)
		w.mustBe(err, oci.NoSpace)
	}
	w.finish(id, 500, "", 0, content)
	if want := "[500 1 1 1 100 100 100 -1 -1 -1]"; fmt.Sprint(asked) != want {
		t.Fatalf("asked for room for %v, want %s", asked, want)
	}
}

// A large upload in many small chunks keeps a row of constant size, or of a part for each least size that came.
func TestManyChunks(t *testing.T) {
	w := newWorld(t, upload.Options{})
	id, content := w.id(), pattern(1, 30_000)
	for at := 0; at < len(content); at += 10 {
		_, err := w.Write(t.Context(), repo, id, int64(at), body(content[at:at+10]), 10)
		w.must(err)
	}
	parts, tail := 1, 0
	if w.store.MinPart() > 0 {
		parts, tail = len(content)/least, inline
	}
	if s := w.session(id); len(s.Parts) > parts || len(s.Tail) > tail {
		t.Fatalf("the session has %d parts and a tail of %d bytes", len(s.Parts), len(s.Tail))
	}
	w.finish(id, -1, "", 0, content)
	w.settle()
}

// A running hash of another version of Go is no reason to fail.
func TestUnreadableHashState(t *testing.T) {
	for _, state := range []string{"", "sha\x02", "something else"} {
		w := newWorld(t, upload.Options{})
		id, content := w.id(), pattern(1, 1000)
		w.write(id, 0, content[:500], 500, 500)
		s := w.session(id)
		s.Hash = state
		_, err := w.ledger.Write(t.Context(), s)
		w.must(err)
		w.write(id, 500, content[500:700], 200, 700)
		w.finish(id, 700, content[700:], 300, content)

		id = w.id()
		w.write(id, 0, content[:500], 500, 500)
		s = w.session(id)
		s.Hash = state
		_, err = w.ledger.Write(t.Context(), s)
		w.must(err)
		_, err = w.Finish(t.Context(), repo, id, digest.FromString("other"), -1, body(""), 0)
		w.mustBe(err, oci.DigestInvalid)
		w.settle()
	}
}

// A disk that is full loses nothing that was there before.
func TestFullStore(t *testing.T) {
	content := pattern(1, 1000)
	w := newWorld(t, upload.Options{})
	id := w.id()
	w.write(id, 0, content[:300], 300, 300)
	fullFor := func(kind faultstore.Kind) {
		w.start(func(c faultstore.Call) faultstore.Action {
			if c.Kind == kind {
				return faultstore.Full
			}
			return faultstore.Pass
		})
	}
	for _, kind := range []faultstore.Kind{faultstore.Put, faultstore.Part, faultstore.Begin, faultstore.Commit} {
		fullFor(kind)
		fresh := w.id()
		for what, err := range map[string]error{
			"push":   second(w.Push(t.Context(), repo, digest.FromString(content), body(content), 1000)),
			"write":  second(w.Write(t.Context(), repo, fresh, 0, body(content), 1000)),
			"append": second(w.Write(t.Context(), repo, id, 300, body(content[300:]), 700)),
		} {
			wrote := what == "push" && kind != faultstore.Put && kind != faultstore.Commit ||
				what == "write" && kind == faultstore.Put || what == "append" && (kind == faultstore.Put || kind == faultstore.Begin)
			if errors.Is(err, store.ErrFull) == wrote {
				t.Fatalf("%s with no room for %s: %v", what, kind, err)
			}
		}
		w.start(nil)
		w.audit()
		if up, err := w.Resume(t.Context(), repo, id); err != nil || up.Offset != 300 {
			w.must(err)
			id = w.id()
			w.write(id, 0, content[:300], 300, 300)
		}
	}
	w.finish(id, 300, content[300:], 700, content)
	w.settle()
}

func second[T any](_ T, err error) error { return err }

// An upload whose bytes did not come back with a backup has ended.
func TestBytesThatAreGone(t *testing.T) {
	w := newWorld(t, upload.Options{})
	id, content := w.id(), pattern(1, 1000)
	w.write(id, 0, content[:500], 500, 500)
	s := w.session(id)
	w.must(w.store.Abort(t.Context(), s.Object, s.Multipart))
	closes := oci.BlobUploadUnknown
	if w.store.MinPart() > 0 {
		closes = oci.Unavailable // the store may be joining the parts
	}
	for range 2 {
		_, err := w.Write(t.Context(), repo, id, 500, body(content[500:]), 500)
		w.mustBe(err, oci.BlobUploadUnknown)
		_, err = w.Finish(t.Context(), repo, id, digest.FromString(content), 500, body(content[500:]), 500)
		w.mustBe(err, closes)
		_, err = w.Finish(t.Context(), repo, id, digest.FromString(content), -1, body(""), 0)
		w.mustBe(err, closes)
	}
	w.settle()
}

// A store whose parts are smaller than what the table keeps would be given parts that it refuses.
func TestStoreWithTinyParts(t *testing.T) {
	clk := clock.NewManual(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
	st := memstore.New(clk, memstore.Options{MinPart: inline})
	l, err := refcount.New(refcount.Stores{Table: st, Objects: st, Parts: st}, clk, refcount.Config{Margins: refcount.DefaultMargins(), InlineLimit: inline})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := upload.New(l, st, st, clk, upload.Options{}); err == nil || !strings.Contains(err.Error(), "64") {
		t.Fatal(err)
	}
}
