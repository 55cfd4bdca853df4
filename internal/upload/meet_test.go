// SPDX-License-Identifier: Apache-2.0

package upload_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"

	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/store/faultstore"
	"tare/internal/upload"
)

// guest is a request to an upload that has the first bytes of its content: what it brings, and whether it writes, finishes
// or cancels.
type guest struct {
	name string
	n    int // bytes that it brings
	size int64
	verb string
}

func guests() []guest {
	return []guest{
		{"a brief chunk", 10, 10, "write"},
		{"a small chunk", 70, -1, "write"},
		{"a large chunk", 250, 250, "write"},
		{"an end", 70, 70, "finish"},
		{"a large end", 250, -1, "finish"},
		{"nothing more", 0, 0, "finish"},
		{"a cancel", 0, 0, "cancel"},
	}
}

// send makes the request of a guest, whose bytes are its own, and returns what the upload has with them.
func (g guest) send(w *world, id, before, bytes string) (content string, err error) {
	content = before + bytes
	switch g.verb {
	case "write":
		_, err = w.Write(w.t.Context(), repo, id, int64(len(before)), body(bytes), g.size)
	case "finish":
		_, err = w.Finish(w.t.Context(), repo, id, digest.FromString(content), int64(len(before)), body(bytes), g.size)
	default:
		err = w.Cancel(w.t.Context(), repo, id)
	}
	return content, err
}

// clone is the same world at the same moment.
func (w *world) clone() *world {
	clk := clock.NewManual(w.clock.Now())
	c := &world{t: w.t, store: w.store.Clone(clk), clock: clk, opts: w.opts, tokens: w.tokens}
	c.start(nil)
	return c
}

// One request comes between every two store calls of another to the same upload; then the reply of that call is lost, or the
// call lands after everything. At most one has its bytes at the place, who was told so has, and unless somebody tried to end
// it the upload can be finished with what it says it has (C3). Nothing is left (C1).
func TestTwoRequestsMeet(t *testing.T) {
	content := pattern(1, 500)
	for _, start := range []struct {
		before int
		named  bool // an object, by a request that came no further
	}{{0, false}, {20, false}, {20, true}, {80, false}, {80, true}, {250, false}, {290, false}} {
		before := start.before
		for _, a := range guests() {
			for _, b := range guests() {
				t.Run(fmt.Sprintf("%s and %s after %d, %t", a.name, b.name, before, start.named), func(t *testing.T) {
					w := newWorld(t, upload.Options{})
					id := w.id()
					if before > 0 {
						w.write(id, 0, content[:before], -1, before)
					}
					if start.named {
						w.nameAndDie(id, content[:before])
					}
					for _, action := range []faultstore.Action{faultstore.Pass, faultstore.LoseReply, faultstore.Late} {
						for k := 1; meet(t, w.clone(), id, content[:before], a, b, k, action); k++ {
						}
					}
				})
			}
		}
	}
}

// nameAndDie is a closing request that dies when it has named its object.
func (w *world) nameAndDie(id, before string) {
	w.t.Helper()
	w.start(func(c faultstore.Call) faultstore.Action {
		if c.Kind == faultstore.Commit {
			return faultstore.DieAfter
		}
		return faultstore.Pass
	})
	end := pattern(4, 90)
	if err := finishRequest(before+end, int64(len(before)), end, 90)(w, id); !errors.Is(err, faultstore.ErrDead) {
		w.t.Fatal(err)
	}
	w.start(nil)
	if s := w.session(id); s.Object == "" {
		w.t.Fatalf("no object is named: %+v", s)
	}
}

// meet lets b in before the kth call of a, after the call before that met with an action. It tells whether a has that many.
func meet(t *testing.T, w *world, id, before string, a, b guest, k int, action faultstore.Action) bool {
	t.Helper()
	var errs [2]error
	var contents [2]string
	came := false
	w.start(func(c faultstore.Call) faultstore.Action {
		if c.N == k && !came {
			came = true
			other := &world{t: w.t, store: w.store, clock: w.clock, opts: w.opts, tokens: w.tokens}
			other.start(nil)
			contents[1], errs[1] = b.send(other, id, before, pattern(3, b.n))
		}
		if c.N == k-1 {
			return action
		}
		return faultstore.Pass
	})
	faulty := w.proc
	contents[0], errs[0] = a.send(w, id, before, pattern(2, a.n))
	for landed := true; landed; {
		landed, _ = faulty.Land()
	}
	if !came {
		return false
	}
	w.start(nil)
	if wrong := w.after(id, before, [2]guest{a, b}, contents, errs); wrong != "" {
		t.Fatalf("%s; answers %v and %v; %s before call %d of\n%s", wrong, errs[0], errs[1], action, k, faulty.Trace())
	}
	w.settle()
	return true
}

// after says what is wrong with an upload that two guests were at, "" for nothing.
func (w *world) after(id, before string, who [2]guest, contents [2]string, errs [2]error) string {
	w.audit()
	ended := false
	for i, g := range who {
		var refusal *oci.Error
		switch {
		case errs[i] == nil && g.verb == "finish":
			if w.read(digest.FromString(contents[i])) != contents[i] {
				return "the blob is wrong"
			}
			ended = true
		case errs[i] == nil && g.verb == "cancel":
			ended = true
		case errors.As(errs[i], &refusal) && refusal.Code == oci.Internal:
			return "something is wrong with the registry"
		}
	}
	for i, g := range who {
		if g.verb == "finish" && errs[i] != nil {
			return "" // it may have made the object: then that is all that the upload can become
		}
	}
	up, err := w.Resume(w.t.Context(), repo, id)
	if oci.CodeOf(err) == oci.BlobUploadUnknown {
		return "" // it ended
	}
	w.must(err)
	told := 0
	for i, g := range who {
		if g.verb != "write" || errs[i] != nil || ended {
			continue
		}
		told++
		if int(up.Offset) != len(contents[i]) {
			return fmt.Sprintf("the upload stands at %d, and %s was taken", up.Offset, g.name)
		}
		if !w.clone().has(id, contents[i]) {
			return g.name + " was taken, and is not there"
		}
	}
	if told > 1 {
		return "both were taken"
	}
	for _, c := range []string{before, contents[0], contents[1], ""} {
		if len(c) == int(up.Offset) && (c == "" || w.clone().has(id, c)) {
			return ""
		}
	}
	return fmt.Sprintf("the upload stands at %d, of bytes that nobody brought", up.Offset)
}

// has tells whether an upload has this content: it is finished with one byte more.
func (w *world) has(id, content string) bool {
	whole := content + "."
	d := digest.FromString(whole)
	_, err := w.Finish(w.t.Context(), repo, id, d, int64(len(content)), body("."), 1)
	return err == nil && w.read(d) == whole
}
