// SPDX-License-Identifier: Apache-2.0

package upload_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"

	"tare/internal/oci"
	"tare/internal/store"
	"tare/internal/store/faultstore"
	"tare/internal/upload"
)

// request is one request of a client, to be repeated as it is when it was not answered.
type request func(w *world, id string) error

func writeRequest(offset int64, data string, size int64) request {
	return func(w *world, id string) error {
		return second(w.Write(w.t.Context(), repo, id, offset, body(data), size))
	}
}

func finishRequest(content string, offset int64, data string, size int64) request {
	return func(w *world, id string) error {
		return second(w.Finish(w.t.Context(), repo, id, digest.FromString(content), offset, body(data), size))
	}
}

// stories are the uploads that are interrupted at each of their store calls.
func stories() map[string][]request {
	small, short, large := pattern(1, 30), pattern(3, 90), pattern(2, 400)
	push := func(content string, size int64) request {
		return func(w *world, _ string) error {
			return second(w.Push(w.t.Context(), repo, digest.FromString(content), body(content), size))
		}
	}
	return map[string][]request{
		"POST small":   {push(small, 30)},
		"POST large":   {push(large, 400)},
		"POST unknown": {push(large, -1)},
		"PUT small":    {finishRequest(small, -1, small, 30)},
		"PUT large":    {finishRequest(large, -1, large, 400)},
		"PUT unknown":  {finishRequest(large, -1, large, -1)},
		"PATCH small":  {writeRequest(0, small, 30), finishRequest(small, -1, "", 0)},
		"PATCH large":  {writeRequest(0, large, -1), finishRequest(large, -1, "", 0)},
		"chunks small": {writeRequest(0, small[:10], 10), writeRequest(10, small[10:20], 10), finishRequest(small, 20, small[20:], 10)},
		"chunks large": {writeRequest(0, large[:100], 100), writeRequest(100, large[100:300], -1), finishRequest(large, 300, large[300:], 100)},
		"chunks of less than a part": {writeRequest(0, large[:80], 80), writeRequest(80, large[80:160], -1),
			writeRequest(160, large[160:240], 80), writeRequest(240, large[240:250], 10), finishRequest(large, 250, large[250:], 150)},
		"less than a part": {writeRequest(0, short[:50], 50), writeRequest(50, short[50:80], 30), finishRequest(short, 80, short[80:], 10)},
		"a tail, then PUT": {writeRequest(0, large[:20], 20), finishRequest(large, 20, large[20:], 380)},
	}
}

// contentOf is what a story uploads.
func contentOf(story string) string {
	switch story {
	case "POST small", "PUT small", "PATCH small", "chunks small":
		return pattern(1, 30)
	case "less than a part":
		return pattern(3, 90)
	}
	return pattern(2, 400)
}

var faults = []faultstore.Action{
	faultstore.DieBefore, faultstore.DieMidway, faultstore.DieAfter,
	faultstore.Unavailable, faultstore.Contended, faultstore.Full, faultstore.LoseReply, faultstore.LoseCall, faultstore.Late,
}

// Whatever happens at whichever store call, the client that repeats its request, and begins again where it is told that
// its upload is lost, ends with its blob, and nothing else stays.
func TestEveryCrash(t *testing.T) {
	for name, requests := range stories() {
		for _, fault := range faults {
			t.Run(fmt.Sprintf("%s/%s", name, fault), func(t *testing.T) {
				for k := 1; ; k++ {
					if !interrupted(t, name, requests, k, fault) {
						return
					}
				}
			})
		}
	}
}

// interrupted runs a story with a fault at its kth store call, and tells whether the story has that many.
func interrupted(t *testing.T, name string, requests []request, k int, fault faultstore.Action) bool {
	w := newWorld(t, upload.Options{})
	w.id() // makes the secret
	fired := false
	w.start(func(c faultstore.Call) faultstore.Action {
		if c.N != k+1 {
			return faultstore.Pass
		}
		fired = true
		return fault
	})
	faulty := w.proc
	id := w.id() // reads it: the first call
	answers := ""
	for tries := 0; tries < 5; tries++ {
		err := w.tell(id, requests)
		if err == nil {
			break
		}
		answers += fmt.Sprintf("%v; ", err)
		switch {
		case errors.Is(err, faultstore.ErrDead):
			w.start(nil)
		case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrUnknownOutcome):
		default:
			id = w.id()
		}
	}
	for landed := true; landed; {
		landed, _ = faulty.Land() // nobody is told what becomes of it
	}
	w.start(nil)
	content := contentOf(name)
	if got := w.read(digest.FromString(content)); got != content {
		t.Fatalf("with %s at call %d, the blob is wrong; answers: %s", fault, k, answers)
	}
	w.settle()
	if t.Failed() {
		t.Fatalf("with %s at call %d; answers: %s\n%s", fault, k, answers, faulty.Trace())
	}
	return fired
}

// tell sends the requests of a story from the one on at which the upload stands, each until it is answered. A client
// that is told 416 asks where it is; here it goes on with the next request when its own has taken effect.
func (w *world) tell(id string, requests []request) error {
	for _, send := range requests {
		err := send(w, id)
		if oci.CodeOf(err) == oci.RangeInvalid {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A closing request with the last bytes that made the object, and came no further, is repeated as it was.
func TestFinishAfterComplete(t *testing.T) {
	content := pattern(1, 1000)
	w := newWorld(t, upload.Options{})
	for _, c := range []struct {
		last string
		code oci.Code
	}{{content[700:], ""}, {"other", ""}, {"other", oci.DigestInvalid}} {
		id := w.id()
		w.write(id, 0, content[:700], 700, 700)
		w.start(func(c faultstore.Call) faultstore.Action {
			if c.Kind == faultstore.Complete {
				return faultstore.DieAfter
			}
			return faultstore.Pass
		})
		d := digest.FromString(content)
		_, err := w.Finish(t.Context(), repo, id, d, 700, body(content[700:]), 300)
		if !errors.Is(err, faultstore.ErrDead) {
			t.Fatal(err)
		}
		w.start(nil)
		if c.code != "" {
			d = digest.FromString("another")
		}
		_, err = w.Finish(t.Context(), repo, id, d, 700, body(c.last), int64(len(c.last)))
		if c.code != "" {
			w.mustBe(err, c.code)
			continue
		}
		w.must(err)
		if w.read(d) != content {
			t.Fatal("the blob is wrong")
		}
	}
	w.settle()
}
