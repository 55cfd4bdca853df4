// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// What the libraries do not do, or not on purpose: blobs without a manifest, chunks, uploads that are left and taken up
// again, conditions.

// answer is what came back for a request, its body read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// send sends a request to a path or a location. An answer of 400 and above is an error as well.
func (w *worker) send(ctx context.Context, method, location string, body []byte, header ...string) (answer, error) {
	if strings.HasPrefix(location, "/") {
		location = "http://" + w.Addr + location
	}
	r, err := http.NewRequestWithContext(ctx, method, location, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	got, err := w.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer got.Body.Close()
	all, err := io.ReadAll(io.LimitReader(got.Body, 8<<20))
	if err == nil && got.StatusCode >= 400 {
		err = fmt.Errorf("%s %s: %s: %s", method, r.URL.Path, got.Status, all)
	}
	return answer{got.StatusCode, got.Header, all}, err
}

func at(repo, kind, reference string) string { return "/v2/" + repo + "/" + kind + "/" + reference }

func (w *worker) uploadBlob(ctx context.Context) error {
	repo, b := w.repo(), w.fresh()
	uploaded := blob{repo, digestOf(b)}
	location := at(repo, "blobs/uploads", "")
	method := http.MethodPost
	if w.random.IntN(2) == 0 {
		begun, err := w.send(ctx, http.MethodPost, location, nil)
		if err != nil {
			return err
		}
		method, location = http.MethodPut, begun.header.Get("Location")
	}
	if _, err := w.send(ctx, method, location+"?digest="+uploaded.digest, b, "Content-Type", "application/octet-stream"); err != nil {
		return err
	}
	remember(w.Load, &w.loose, uploaded)
	return nil
}

// upload is one that a client has begun.
type upload struct {
	repo     string
	location string
	content  []byte
	there    int // bytes that the registry acknowledged
}

// uploadInChunks uploads some chunks and then leaves the rest to whoever takes the upload up again.
func (w *worker) uploadInChunks(ctx context.Context) error {
	u := upload{repo: w.repo(), content: w.fresh()}
	begun, err := w.send(ctx, http.MethodPost, at(u.repo, "blobs/uploads", ""), nil)
	if err != nil {
		return err
	}
	u.location = begun.header.Get("Location")
	return w.goOn(ctx, u)
}

// resumeUpload asks where an upload stands and goes on from there.
func (w *worker) resumeUpload(ctx context.Context) error {
	u, ok := take(w, &w.uploads)
	if !ok {
		return errNothing("upload")
	}
	stands, err := w.send(ctx, http.MethodGet, u.location, nil)
	if err != nil {
		return err // it may have expired
	}
	there, err := ending(stands)
	if err != nil {
		return err
	}
	if there < u.there {
		w.Ledger.Lose("an upload to %s stands at %d, and %d bytes of it were acknowledged", u.repo, there, u.there)
	}
	u.there = there
	return w.goOn(ctx, u)
}

// ending is how many bytes of an upload the registry says to have. It says 0-0 for none, and for one.
func ending(a answer) (int, error) {
	_, last, found := strings.Cut(a.header.Get("Range"), "-")
	n, err := strconv.Atoi(last)
	if !found || err != nil {
		return 0, fmt.Errorf("an upload stands at %q", a.header.Get("Range"))
	}
	if n == 0 {
		return 0, nil
	}
	return n + 1, nil
}

// goOn sends the next chunks of an upload, or the last one.
func (w *worker) goOn(ctx context.Context, u upload) error {
	for len(u.content)-u.there > 1 && w.random.IntN(3) > 0 {
		to := u.there + 2 + w.random.IntN(max(1, len(u.content)-u.there-2)) // never one byte alone: see ending
		to = min(to, len(u.content))
		_, err := w.send(ctx, http.MethodPatch, u.location, u.content[u.there:to],
			"Content-Type", "application/octet-stream", "Content-Range", fmt.Sprintf("%d-%d", u.there, to-1))
		if err == nil && !w.Ledger.Frozen() {
			u.there = to
		}
		if err != nil || w.random.IntN(4) == 0 {
			remember(w.Load, &w.uploads, u)
			return err
		}
	}
	digest := digestOf(u.content)
	_, err := w.send(ctx, http.MethodPut, u.location+"?digest="+digest, u.content[u.there:], "Content-Type", "application/octet-stream")
	if err != nil {
		return err
	}
	remember(w.Load, &w.loose, blob{u.repo, digest})
	return nil
}

func (w *worker) lookAtBlob(ctx context.Context) error {
	b, ok := take(w, &w.loose)
	if !ok {
		return errNothing("blob")
	}
	if _, err := w.send(ctx, http.MethodHead, at(b.repo, "blobs", b.digest), nil); err != nil {
		return err
	}
	remember(w.Load, &w.loose, b)
	return nil
}

func (w *worker) deleteBlob(ctx context.Context) error {
	b, ok := take(w, &w.loose)
	if !ok {
		return errNothing("blob")
	}
	_, err := w.send(ctx, http.MethodDelete, at(b.repo, "blobs", b.digest), nil)
	return err
}

// deleteUsedBlob tries what has to be refused.
func (w *worker) deleteUsedBlob(ctx context.Context) error {
	user, err := w.pick()
	if err != nil {
		return err
	}
	blobs := w.Ledger.Content(user.repo, user.digest).Blobs
	if len(blobs) == 0 {
		return errNothing("blob")
	}
	_, err = w.send(ctx, http.MethodDelete, at(user.repo, "blobs", blobs[w.random.IntN(len(blobs))]), nil)
	return err
}

// moveTagIf moves a tag on the condition that it is where it was.
func (w *worker) moveTagIf(ctx context.Context) error {
	to, err := w.pick()
	if err != nil {
		return err
	}
	tag := at(to.repo, "manifests", w.tag())
	condition := []string{"If-None-Match", "*"}
	if now, err := w.send(ctx, http.MethodHead, tag, nil); err == nil {
		condition = []string{"If-Match", `"` + now.header.Get("Docker-Content-Digest") + `"`}
	}
	body, err := w.send(ctx, http.MethodGet, at(to.repo, "manifests", to.digest), nil)
	if err != nil {
		return err
	}
	_, err = w.send(ctx, http.MethodPut, tag, body.body, append(condition, "Content-Type", body.header.Get("Content-Type"))...)
	return err
}
