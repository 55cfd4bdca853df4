// SPDX-License-Identifier: Apache-2.0

package upload_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
	"tare/internal/store/faultstore"
	"tare/internal/upload"
)

// Ids that were not issued for this repository, or have ended, cost no call of a store.
func TestForgedIDs(t *testing.T) {
	w := newWorld(t, upload.Options{})
	id := w.id()
	foreign, err := w.Start(t.Context(), "team/other")
	w.must(err)
	stranger := newWorld(t, upload.Options{}).id()

	bad := map[string]string{
		"empty": "", "a word": "upload", "another repository's": foreign.ID, "another registry's": stranger,
		"padded": id + "=", "cut": id[:len(id)-1], "longer": id + "A", "in another alphabet": strings.Repeat("+", len(id)),
		"a path": "../" + id[3:], "of line breaks": strings.Repeat("\n", len(id)), "broken into lines": id[:len(id)-4] + "\r\n\r\n",
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i := range id {
		c := alphabet[(strings.IndexByte(alphabet, id[i])+1)%64]
		bad[fmt.Sprintf("altered at %d", i)] = id[:i] + string(c) + id[i+1:]
	}
	calls := w.proc.Calls()
	refused := func(name, id string) {
		t.Helper()
		d := digest.FromString("x")
		_, err := w.Resume(t.Context(), repo, id)
		w.mustBe(err, oci.BlobUploadUnknown)
		_, err = w.Write(t.Context(), repo, id, 0, body("x"), 1)
		w.mustBe(err, oci.BlobUploadUnknown)
		_, err = w.Finish(t.Context(), repo, id, d, 0, body("x"), 1)
		w.mustBe(err, oci.BlobUploadUnknown)
		w.mustBe(w.Cancel(t.Context(), repo, id), oci.BlobUploadUnknown)
		if n := w.proc.Calls() - calls; n != 0 {
			t.Fatalf("an id that is %s made %d store calls", name, n)
		}
	}
	for name, id := range bad {
		refused(name, id)
	}
	w.clock.Advance(refcount.DefaultMargins().UploadTTL)
	refused("over", id)
}

// An id is good until its end in every process on the same table.
func TestIDsOutliveTheProcess(t *testing.T) {
	w := newWorld(t, upload.Options{})
	id := w.id()
	w.write(id, 0, "some", 4, 4)
	w.start(nil)
	w.clock.Advance(refcount.DefaultMargins().UploadTTL - time.Second)
	w.write(id, 4, " more", 5, 9)
	w.finish(id, 9, "", 0, "some more")
	w.settle()
}

func TestStartAsksForTheSecretOnce(t *testing.T) {
	w := newWorld(t, upload.Options{})
	w.id()
	w.start(nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := w.Start(t.Context(), repo); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	calls := w.proc.Calls()
	w.id()
	if w.proc.Calls() != calls || w.proc.Trace().Count(faultstore.Commit) > 0 {
		t.Fatalf("starting uploads made the calls\n%s", w.proc.Trace())
	}
}

func TestStartWithoutAStore(t *testing.T) {
	w := newWorld(t, upload.Options{})
	w.start(func(faultstore.Call) faultstore.Action { return faultstore.Unavailable })
	_, err := w.Start(t.Context(), repo)
	if !errors.Is(err, store.ErrUnavailable) {
		t.Fatal(err)
	}
}

// An id that was issued is good, and nothing else is an id: neither anything at all, nor one with a byte changed.
func FuzzID(f *testing.F) {
	f.Add("", uint8(0), uint8(0))
	f.Add("upload", uint8(0), uint8(1))
	f.Add(strings.Repeat("A", 54), uint8(53), uint8(1))
	f.Add(strings.Repeat("\n", 54), uint8(20), uint8('A'^'_'))
	f.Add(strings.Repeat("A\r\n", 18), uint8(53), uint8(3))
	f.Fuzz(func(t *testing.T, id string, at, change uint8) {
		w := newWorld(t, upload.Options{})
		issued := w.id()
		calls := w.proc.Calls()
		_, err := w.Resume(t.Context(), repo, id)
		w.mustBe(err, oci.BlobUploadUnknown)
		altered := []byte(issued)
		altered[int(at)%len(altered)] ^= change
		if change != 0 {
			_, err = w.Resume(t.Context(), repo, string(altered))
			w.mustBe(err, oci.BlobUploadUnknown)
		}
		if n := w.proc.Calls() - calls; n != 0 {
			t.Fatalf("%q made %d store calls", id, n)
		}
		_, err = w.Resume(t.Context(), repo, issued)
		w.must(err)
	})
}
