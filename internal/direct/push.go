// SPDX-License-Identifier: Apache-2.0

package direct

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"tare/internal/oci"
)

// Blob is what is to be pushed.
type Blob struct {
	Digest  oci.Digest
	Size    int64
	Content io.ReaderAt // is read from several places at once, and each place perhaps more than once

	// Resume is the id of an upload that was begun before, of the same blob. One that the registry does not know any more is
	// begun anew.
	Resume string
	// Opened is told the id of a new upload, for Resume. Nil: nobody is.
	Opened func(id string)
	// Progress is told how many bytes have been sent, now and then, and all of them at the end; a part that failed is taken
	// back. Calls do not overlap. Nil: nobody is.
	Progress func(sent int64)
}

// Push brings a blob to a repository, unless it is there, and returns when it can be pulled. Errors: DIGEST_INVALID where the
// content is another, as the store tells of a part that is not what was hashed, and the registry of the whole.
//
// When it returns, nothing of it is at work and the content is not read any more. What it sent before it failed, or ctx ended,
// can be resumed for as long as the registry keeps uploads, in another process as well: see [Blob.Resume].
func (c *Client) Push(ctx context.Context, repo oci.Repository, b Blob) error {
	p := &push{c: c, repo: repo, blob: b}
	if err := p.run(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	left := p.blob.Size - p.sent
	p.mu.Unlock()
	p.advance(left)
	return nil
}

func (p *push) run(ctx context.Context) error {
	if p.blob.Size <= 0 || p.blob.Size <= p.c.opts.Whole {
		return p.whole(ctx)
	}
	if err := p.open(ctx); err != nil {
		return err
	}
	for round := 1; ; round++ {
		if p.up.State == oci.DirectOpened {
			if err := p.send(ctx); err != nil && !elsewhere(err) {
				return err
			}
		}
		err := p.complete(ctx)
		if round == maxRounds || oci.CodeOf(err) != oci.BlobUploadInvalid {
			return err
		}
		p.resumed = true // something did not arrive: find out what
	}
}

// elsewhere tells of an error that it may mean that another client has completed the same upload. To complete it again tells.
func elsewhere(err error) bool {
	code := oci.CodeOf(err)
	return errors.Is(err, errNoUpload) || code == oci.BlobUploadInvalid || code == oci.BlobUploadUnknown
}

// maxRounds is how often what the registry says is missing is sent again.
const maxRounds = 3

// push is one Push at work.
type push struct {
	c       *Client
	repo    oci.Repository
	blob    Blob
	up      state
	resumed bool // some parts may be there

	mu   sync.Mutex // guards sent, and orders the calls of Progress
	sent int64
}

// advance counts bytes that were sent, or that have to be again.
func (p *push) advance(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent += n
	if p.blob.Progress != nil && n != 0 {
		p.blob.Progress(p.sent)
	}
}

// restart takes back all that was sent.
func (p *push) restart() {
	p.mu.Lock()
	sent := p.sent
	p.mu.Unlock()
	p.advance(-sent)
}

func (p *push) content(offset, size int64) *io.SectionReader {
	return io.NewSectionReader(p.blob.Content, offset, size)
}

// whole sends a small blob to the registry itself.
func (p *push) whole(ctx context.Context) error {
	to := "/v2/" + string(p.repo) + "/blobs/uploads/?digest=" + url.QueryEscape(string(p.blob.Digest))
	return p.c.patiently(ctx, func() (bool, time.Duration, error) {
		content := p.read(0, p.blob.Size)
		resp, again, err := p.c.ask(ctx, http.MethodPost, to, content, p.blob.Size, "application/octet-stream")
		if fault := content.end(err != nil); fault != nil {
			return false, 0, errors.Join(fault, closed(resp))
		}
		if err != nil {
			return again, 0, err
		}
		again, after, err := p.c.read(resp, nil)
		if err != nil {
			p.restart()
		}
		return again, after, err
	})
}

// closed lets go of an answer that nobody wants, if there is one.
func closed(resp *http.Response) error {
	if resp == nil {
		return nil
	}
	return resp.Body.Close()
}

// open finds out how far the upload is, or opens one.
func (p *push) open(ctx context.Context) error {
	if p.blob.Resume != "" {
		err := p.c.call(ctx, http.MethodGet, path(p.repo, "uploads/"+p.blob.Resume), nil, &p.up)
		p.resumed = true
		if oci.CodeOf(err) != oci.BlobUploadUnknown {
			return err
		}
		p.resumed = false
	}
	ask := map[string]any{"digest": p.blob.Digest, "size": p.blob.Size, "partSize": p.c.opts.PartSize, "parts": p.blob.Size >= p.c.opts.PartsFrom}
	p.up = state{}
	if err := p.c.call(ctx, http.MethodPost, path(p.repo, "uploads"), ask, &p.up); err != nil {
		return err
	}
	if p.blob.Opened != nil && p.up.ID != "" {
		p.blob.Opened(p.up.ID)
	}
	return nil
}

// send brings what is not there yet.
func (p *push) send(ctx context.Context) error {
	if p.up.PartSize > 0 {
		return p.sendParts(ctx)
	}
	p.restart()
	return p.put(ctx, p.up.Put, 0, p.blob.Size, func() (request, error) {
		signed, err := p.c.sign(ctx, p.repo, p.up.ID, nil)
		if err != nil {
			return request{}, err
		}
		return signed[0], nil
	})
}

// put sends size bytes from offset by a signed request; r is the first one, nil for none, and again asks for others.
func (p *push) put(ctx context.Context, r *request, offset, size int64, again func() (request, error)) error {
	return p.c.patiently(ctx, func() (bool, time.Duration, error) {
		if r == nil {
			signed, err := again()
			if err != nil {
				return false, 0, err // the registry was asked patiently
			}
			r = &signed
		}
		content := p.read(offset, size)
		repeat, err := p.c.store(ctx, *r, content, size)
		if fault := content.end(err != nil); fault != nil {
			return false, 0, fault
		}
		if err != nil {
			r = nil // it may have ended
		}
		return repeat, 0, err
	})
}

// store sends one request to the store. again tells that another one could succeed.
func (c *Client) store(ctx context.Context, signed request, body io.Reader, size int64) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin+time.Duration(size/slowest)*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, signed.Method, signed.URL, io.NopCloser(body))
	if err != nil {
		return false, errors.New("direct: the registry signed no request that can be sent")
	}
	r.ContentLength = size
	for name, value := range signed.Headers {
		r.Header.Set(name, value)
	}
	resp, err := c.opts.Store.Do(r)
	if err != nil {
		return true, withoutURL("the store", err)
	}
	defer resp.Body.Close() // it was only read
	said, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if resp.StatusCode == http.StatusOK {
		return true, withoutURL("the store", err)
	}
	code := storeCode(string(said))
	switch code {
	case "BadDigest", "XAmzContentChecksumMismatch":
		return false, &oci.Error{Code: oci.DigestInvalid, Message: "what was sent is not what was announced: does the content change?"}
	case "NoSuchUpload":
		return false, errNoUpload
	}
	return true, fmt.Errorf("direct: the store answers %d %s", resp.StatusCode, code) // another URL may do where 403 says that this one has ended
}

// slowest is how many bytes a second have to go to the store.
const slowest = 64 << 10

// errNoUpload is the store's word that the parts were put together, for another client of the same upload, or given up. The
// registry knows which.
var errNoUpload = errors.New("direct: the store does not know the upload any more")

// storeCode finds the code in an error of the store, which is XML on S3; "" where there is none.
func storeCode(said string) string {
	_, rest, _ := strings.Cut(said, "<Code>")
	code, _, found := strings.Cut(rest, "</Code>")
	if !found || len(code) > 64 || strings.ContainsFunc(code, func(r rune) bool { return r|0x20 < 'a' || r|0x20 > 'z' }) {
		return ""
	}
	return code
}

// body is the content of one attempt, and counts what is read of it.
type body struct {
	p    *push
	size int64

	mu    sync.Mutex // guards what follows: a transport may still read a body when its request has failed
	r     io.Reader
	n     int64
	ended bool
	fault error // of the content
}

func (p *push) read(offset, size int64) *body {
	return &body{p: p, size: size, r: p.content(offset, size)}
}

var errEnded = errors.New("the request has ended")

func (b *body) Read(into []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return 0, errEnded
	}
	n, err := b.r.Read(into)
	b.n += int64(n)
	b.p.advance(int64(n))
	if errors.Is(err, io.EOF) && b.n < b.size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.fault = fmt.Errorf("direct: the content: %w", err)
		err = b.fault
	}
	return n, err
}

// end ends the reading, so that nothing is read from now on, and takes back what was counted where it was in vain. It returns
// what was wrong with the content, if that was.
func (b *body) end(inVain bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	if inVain {
		b.p.advance(-b.n)
	}
	return b.fault
}

// complete says that all is there, and waits until that is verified.
func (p *push) complete(ctx context.Context) error {
	method, to := http.MethodPost, "uploads/"+p.up.ID+"/complete?wait="+waitSeconds
	for try := 1; p.up.State != oci.DirectDone; {
		var now state
		err := p.c.call(ctx, method, path(p.repo, to), nil, &now)
		switch {
		case oci.CodeOf(err) == oci.Unavailable && ctx.Err() == nil && try < completeTries:
			try++ // a store can take minutes to put parts together
			continue
		case err != nil:
			return err
		case now.State == oci.DirectDone:
			return nil
		}
		method, to = http.MethodGet, "uploads/"+p.up.ID+"?wait="+waitSeconds
		if err := p.c.opts.Clock.Pause(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}

// completeTries is how often Tries are made to complete an upload while the registry says that it cannot be yet: for about ten
// minutes.
const completeTries = 12

// waitSeconds is how long the registry may wait with its answer.
const waitSeconds = "20"

func decimal(n int) string { return strconv.Itoa(n) }
