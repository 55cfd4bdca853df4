// SPDX-License-Identifier: Apache-2.0

package upload_test

import (
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/upload"
)

// ways are all ways in which clients upload a blob. Each returns what the last request was answered.
var ways = []struct {
	name string
	push func(w *world, content string, d oci.Digest) (oci.Descriptor, error)
}{
	{"POST", func(w *world, content string, d oci.Digest) (oci.Descriptor, error) {
		return w.Push(w.t.Context(), repo, d, body(content), int64(len(content)))
	}},
	{"POST without a length", func(w *world, content string, d oci.Digest) (oci.Descriptor, error) {
		return w.Push(w.t.Context(), repo, d, body(content), -1)
	}},
	{"PUT", func(w *world, content string, d oci.Digest) (oci.Descriptor, error) {
		return w.Finish(w.t.Context(), repo, w.id(), d, -1, body(content), int64(len(content)))
	}},
	{"PUT without a length", func(w *world, content string, d oci.Digest) (oci.Descriptor, error) {
		return w.Finish(w.t.Context(), repo, w.id(), d, -1, body(content), -1)
	}},
	{"PUT with a range", func(w *world, content string, d oci.Digest) (oci.Descriptor, error) {
		return w.Finish(w.t.Context(), repo, w.id(), d, 0, body(content), int64(len(content)))
	}},
	{"PATCH", func(w *world, content string, d oci.Digest) (oci.Descriptor, error) {
		id := w.id()
		w.write(id, -1, content, int64(len(content)), len(content))
		return w.Finish(w.t.Context(), repo, id, d, -1, body(""), 0)
	}},
	{"PATCH without a length", func(w *world, content string, d oci.Digest) (oci.Descriptor, error) {
		id := w.id()
		w.write(id, -1, content, -1, len(content))
		return w.Finish(w.t.Context(), repo, id, d, -1, body(""), -1)
	}},
	{"chunks", func(w *world, content string, d oci.Digest) (oci.Descriptor, error) {
		id := w.id()
		w.chunks(id, content, len(content))
		return w.Finish(w.t.Context(), repo, id, d, -1, body(""), 0)
	}},
	{"chunks, the last by PUT", func(w *world, content string, d oci.Digest) (oci.Descriptor, error) {
		id := w.id()
		cut := len(content) * 2 / 3
		w.chunks(id, content, cut)
		return w.Finish(w.t.Context(), repo, id, d, int64(cut), body(content[cut:]), int64(len(content)-cut))
	}},
	{"chunks, the last by PUT without a length", func(w *world, content string, d oci.Digest) (oci.Descriptor, error) {
		id := w.id()
		cut := len(content) / 2
		w.chunks(id, content, cut)
		return w.Finish(w.t.Context(), repo, id, d, -1, body(content[cut:]), -1)
	}},
}

// chunks sends the first end bytes of content in seven pieces, some of them empty when there are few.
func (w *world) chunks(id, content string, end int) {
	w.t.Helper()
	for i, at := range []int{0, 1, 2, 3, 4, 5, 6} {
		from, to := end*at/7, end*(at+1)/7
		size := int64(to - from)
		if i%2 == 1 {
			size = -1
		}
		w.write(id, int64(from), content[from:to], size, to)
	}
}

var sizes = []int{0, 1, inline - 1, inline, inline + 1, 2*inline + 1, 100_000}

// Every way leads to the same blob, by both algorithms, twice over, and leaves nothing behind.
func TestWays(t *testing.T) {
	for _, way := range ways {
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%s/%d", way.name, size), func(t *testing.T) {
				w := newWorld(t, upload.Options{})
				content := pattern(1, size)
				for _, d := range []oci.Digest{digest.FromString(content), sha512Of(content)} {
					for range 2 {
						desc, err := way.push(w, content, d)
						w.must(err)
						w.wantBlob(desc, d, content)
					}
				}
				w.settle()
			})
		}
	}
}

// Of content with another digest nothing is kept, and the upload has ended.
func TestWrongDigest(t *testing.T) {
	for _, way := range ways {
		for _, size := range sizes[1:] {
			t.Run(fmt.Sprintf("%s/%d", way.name, size), func(t *testing.T) {
				w := newWorld(t, upload.Options{})
				content := pattern(1, size)
				for _, d := range []oci.Digest{digest.FromString("other"), sha512Of("other")} {
					_, err := way.push(w, content, d)
					w.mustBe(err, oci.DigestInvalid)
					w.absent(d)
					w.absent(digest.FromString(content))
					w.audit()
				}
				w.settle()
			})
		}
	}
}

func TestWrongDigestEndsTheUpload(t *testing.T) {
	for _, size := range []int{inline, 1000} {
		w := newWorld(t, upload.Options{})
		id, content := w.id(), pattern(1, size)
		w.write(id, -1, content, -1, size)
		_, err := w.Finish(t.Context(), repo, id, digest.FromString("other"), -1, body(""), 0)
		w.mustBe(err, oci.DigestInvalid)
		_, err = w.Resume(t.Context(), repo, id)
		w.mustBe(err, oci.BlobUploadUnknown)
		_, err = w.Write(t.Context(), repo, id, -1, body("x"), 1)
		w.mustBe(err, oci.BlobUploadUnknown)
		_, err = w.Write(t.Context(), repo, id, -1, body(content), int64(size))
		w.mustBe(err, oci.BlobUploadUnknown)
		for _, data := range []string{"", "x", content} {
			_, err = w.Finish(t.Context(), repo, id, digest.FromString(content), -1, body(data), int64(len(data)))
			w.mustBe(err, oci.BlobUploadUnknown)
		}
		w.settle()
	}
}

// A client whose last request was answered into the void sends it again.
func TestFinishAgain(t *testing.T) {
	for _, c := range []struct {
		name         string
		size, before int
		offset       int64
	}{
		{"all of a small blob", 10, 0, -1},
		{"all of a large blob", 1000, 0, -1},
		{"nothing after a small blob", 10, 10, -1},
		{"nothing after a large blob", 1000, 1000, -1},
		{"the end of a small blob", 10, 5, 5},
		{"the end of a large blob", 1000, 700, 700},
		{"a small end of a large blob", 1000, 999, 999},
		{"nothing of an empty blob", 0, 0, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, upload.Options{})
			id, content := w.id(), pattern(1, c.size)
			if c.before > 0 {
				w.write(id, 0, content[:c.before], int64(c.before), c.before)
			}
			for range 3 {
				w.finish(id, c.offset, content[c.before:], int64(c.size-c.before), content)
			}
			w.settle()
		})
	}
}

func TestFinishOfNothing(t *testing.T) {
	w := newWorld(t, upload.Options{})
	_, err := w.Finish(t.Context(), repo, w.id(), digest.FromString("x"), -1, body(""), 0)
	w.mustBe(err, oci.BlobUploadUnknown)
	_, err = w.Finish(t.Context(), repo, w.id(), digest.FromString("x"), 7, body("x"), 1)
	w.mustBe(err, oci.RangeInvalid)
	w.settle()
}

// A chunk in the wrong place is refused, says where the right one is, and hurts nothing.
func TestOffsets(t *testing.T) {
	for _, unit := range []int{10, 40, 100} {
		t.Run(fmt.Sprint(unit), func(t *testing.T) {
			w := newWorld(t, upload.Options{})
			id, content := w.id(), pattern(1, 3*unit)
			d := digest.FromString(content)
			for i := range 3 {
				at := i * unit
				for _, wrong := range []int{0, at - 1, at + 1, at + unit, 3 * unit} {
					if wrong == at || wrong < 0 {
						continue
					}
					for _, data := range []string{"", content[:unit]} {
						up, err := w.Write(t.Context(), repo, id, int64(wrong), body(data), int64(len(data)))
						w.mustBe(err, oci.RangeInvalid)
						if up.Offset != int64(at) {
							t.Fatalf("told to go on at %d, want %d", up.Offset, at)
						}
						_, err = w.Finish(t.Context(), repo, id, d, int64(wrong), body(data), int64(len(data)))
						w.mustBe(err, oci.RangeInvalid)
					}
					// The digest of the chunk itself does not make it the whole blob.
					if at > 0 {
						_, err := w.Finish(t.Context(), repo, id, digest.FromString(content[:unit]), int64(wrong), body(content[:unit]), int64(unit))
						w.mustBe(err, oci.RangeInvalid)
					}
				}
				w.write(id, int64(at), content[at:at+unit], int64(unit), at+unit)
			}
			w.finish(id, int64(3*unit), "", 0, content)
			w.settle()
		})
	}
}

func TestCancel(t *testing.T) {
	for _, size := range []int{0, 10, 500} {
		w := newWorld(t, upload.Options{})
		id, content := w.id(), pattern(1, size)
		w.write(id, -1, content, int64(size), size)
		w.must(w.Cancel(t.Context(), repo, id))
		w.mustBe(w.Cancel(t.Context(), repo, id), oci.BlobUploadUnknown)
		_, err := w.Resume(t.Context(), repo, id)
		w.mustBe(err, oci.BlobUploadUnknown)
		for _, n := range []int{1, 500} {
			data := pattern(2, n)
			_, err = w.Write(t.Context(), repo, id, -1, body(data), int64(n))
			w.mustBe(err, oci.BlobUploadUnknown)
			_, err = w.Finish(t.Context(), repo, id, digest.FromString(data), -1, body(data), int64(n))
			w.mustBe(err, oci.BlobUploadUnknown)
		}
		w.settle()
	}
}

// The id of an upload that was canceled, or ended by content of another digest, stays closed for as long as it would have been
// good, whatever is swept meanwhile.
func TestEndedUploadStaysClosed(t *testing.T) {
	for name, end := range map[string]func(w *world, id string){
		"canceled": func(w *world, id string) { w.must(w.Cancel(t.Context(), repo, id)) },
		"rejected": func(w *world, id string) {
			_, err := w.Finish(t.Context(), repo, id, digest.FromString("other"), -1, body(pattern(1, 1000)), -1)
			w.mustBe(err, oci.DigestInvalid)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, upload.Options{})
			id := w.id()
			end(w, id)
			for range 3 {
				_, err := w.Write(t.Context(), repo, id, -1, body("content"), -1)
				w.mustBe(err, oci.BlobUploadUnknown)
				w.clock.Advance(refcount.DefaultMargins().UploadTTL / 3)
				_, err = w.ledger.Sweep(t.Context(), refcount.SweepOptions{})
				w.must(err)
			}
			w.settle()
		})
	}
}
