// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"tare/internal/oci"

	"github.com/opencontainers/go-digest"
)

const small = "a line"

var (
	large  = strings.Repeat("a line that does not fit the table. ", 10)
	larger = strings.Repeat("another line that does not fit the table. ", 10)
)

// blobScenarios are uploads, mounts and deletes of blobs.
func blobScenarios() []scenario {
	return []scenario{
		{"blob, small, one request", nil, pushBlob(repo, small), true},
		{"blob, large, one request", nil, pushBlob(repo, large), true},
		{"blob, small, PUT", nil, putBlob(repo, small), true},
		{"blob, large, PUT", nil, putBlob(repo, large), true},
		{"blob, small, PATCH", nil, patchBlob(repo, small, 100, 0), true},
		{"blob, large, PATCH", nil, patchBlob(repo, large, 1000, -1), true},
		{"blob, large, PATCH in chunks", nil, patchBlob(repo, large, 90, 0), true},
		{"blob, PATCH in small chunks that grow large", nil, patchBlob(repo, large, 40, 0), true},
		{"blob, empty", nil, putBlob(repo, ""), true},
		{"blob, broken off and resumed", nil, brokenBlob(repo, large), true},
		{"blob, of another digest", nil, wrongBlob(repo, large), true},
		{"blob, small, of another digest", nil, wrongBlob(repo, small), true},
		{"blob, canceled", nil, cancelBlob(repo, large), true},
		{"blob, there already", pushBlob(repo, large), putBlob(repo, large), true},
		{"blob, there and listed", pushImage(repo, "v1", large), putBlob(repo, large), true},
		{"blob, in another repository", pushBlob(other, large), putBlob(repo, large), true},
		{"blob, dying elsewhere", all(pushBlob(other, large), deleteBlob(other, large)), putBlob(repo, large), true},
		{"blob, its lease runs low", all(pushBlob(repo, large), wait(20*time.Hour)), putBlob(repo, large), true},
		{"look, its lease runs low", all(pushBlob(repo, large), wait(20*time.Hour)), headBlob(repo, large), true},
		{"mount", pushBlob(other, large), mount(repo, large, other), true},
		{"mount, there already", all(pushBlob(other, large), pushBlob(repo, large), wait(20*time.Hour)), mount(repo, large, other), true},
		{"delete a blob", all(pushBlob(repo, large), pushBlob(other, large)), deleteBlob(repo, large), true},
		{"blob, small, one request of unknown length", nil, streamBlob(repo, small), true},
		{"blob, large, one request of unknown length", nil, streamBlob(repo, large), true},
		{"blob, of another digest, one request", nil, wrongWholeBlob(repo, large), true},
		{"blob, sha512, small", nil, uploadBlob(repo, digest.SHA512.FromString(small), small, 0, 0), true},
		{"blob, sha512, large", nil, uploadBlob(repo, digest.SHA512.FromString(large), large, 0, 0), true},
		{"blob, sha512, large, PATCH in chunks", nil, uploadBlob(repo, digest.SHA512.FromString(large), large, 90, 0), true},
		{"blob, small, canceled", nil, cancelBlob(repo, small), true},
		{"blob, canceled before it has a byte", nil, cancelBlob(repo, ""), true},
		{"mount of what is not there", pushBlob(repo, small), mountNothing(repo, large, other), true},
		{"mount, dying", all(pushBlob(other, large), deleteBlob(other, large), pushBlob("team/third", large)), mount(repo, large, "team/third"), true},
		{"delete a blob that is listed", pushImage(repo, "v1", small), refused(removeBlob(repo, small), oci.InUse), true},
	}
}

// pushBlob uploads in one request.
func pushBlob(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		d := digest.FromString(content)
		_, err := p.reg.PushBlob(ctx, r, d, strings.NewReader(content), int64(len(content)))
		return p.toldOfBlob(r, d, content, err)
	}
}

func pushBlobs(r oci.Repository, contents ...string) operation {
	var ops []operation
	for _, c := range contents {
		ops = append(ops, pushBlob(r, c))
	}
	return all(ops...)
}

// streamBlob uploads in one request that does not say how long it is.
func streamBlob(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		d := digest.FromString(content)
		_, err := p.reg.PushBlob(ctx, r, d, strings.NewReader(content), -1)
		return p.toldOfBlob(r, d, content, err)
	}
}

// putBlob uploads as the PUT family does: POST, then PUT with all the bytes.
func putBlob(r oci.Repository, content string) operation {
	return uploadBlob(r, digest.FromString(content), content, 0, 0)
}

// patchBlob uploads as the PATCH family does, in chunks of n bytes, whose length is not told where size is negative.
func patchBlob(r oci.Repository, content string, n int, size int64) operation {
	return uploadBlob(r, digest.FromString(content), content, n, size)
}

// uploadBlob sends chunks of n bytes, and the rest in the closing PUT: all of it where n is 0.
func uploadBlob(r oci.Repository, d oci.Digest, content string, n int, size int64) operation {
	return func(ctx context.Context, p *process) error {
		up, err := p.reg.StartUpload(ctx, r)
		if err != nil {
			return err
		}
		for n > 0 && up.Offset < int64(len(content)) {
			chunk := content[up.Offset:min(int(up.Offset)+n, len(content))]
			if size >= 0 {
				size = int64(len(chunk))
			}
			if up, err = p.reg.WriteUpload(ctx, r, up.ID, up.Offset, strings.NewReader(chunk), size); err != nil {
				return err
			}
		}
		rest := content[up.Offset:]
		_, err = p.reg.FinishUpload(ctx, r, up.ID, d, -1, strings.NewReader(rest), int64(len(rest)))
		return p.toldOfBlob(r, d, content, err)
	}
}

// brokenBlob breaks off in the middle of a body, asks where the upload stands, and goes on.
func brokenBlob(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		up, err := p.reg.StartUpload(ctx, r)
		if err != nil {
			return err
		}
		body := io.MultiReader(strings.NewReader(content[:len(content)/2]), broken{})
		if _, err := p.reg.WriteUpload(ctx, r, up.ID, 0, body, int64(len(content))); err == nil || !errors.Is(err, errBroken) {
			return fmt.Errorf("a broken body: %w", errors.Join(err, errUnexpected))
		}
		if up, err = p.reg.ResumeUpload(ctx, r, up.ID); err != nil {
			return err
		}
		if up.Offset != int64(len(content)/2) {
			return fmt.Errorf("stands at %d: %w", up.Offset, errUnexpected)
		}
		d := digest.FromString(content)
		_, err = p.reg.FinishUpload(ctx, r, up.ID, d, up.Offset, strings.NewReader(content[up.Offset:]), -1)
		return p.toldOfBlob(r, d, content, err)
	}
}

var (
	errBroken     = errors.New("the connection broke")
	errUnexpected = errors.New("unexpected")
)

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }

// wrongBlob claims another digest, and expects to be refused.
func wrongBlob(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		up, err := p.reg.StartUpload(ctx, r)
		if err != nil {
			return err
		}
		if up, err = p.reg.WriteUpload(ctx, r, up.ID, 0, strings.NewReader(content), -1); err != nil {
			return err
		}
		_, err = p.reg.FinishUpload(ctx, r, up.ID, digest.FromString("another"), up.Offset, strings.NewReader(""), 0)
		return expect(err, oci.DigestInvalid)
	}
}

func wrongWholeBlob(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		_, err := p.reg.PushBlob(ctx, r, digest.FromString("another"), strings.NewReader(content), int64(len(content)))
		return expect(err, oci.DigestInvalid)
	}
}

// leaveBlob begins an upload that nobody goes on with.
func leaveBlob(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		up, err := p.reg.StartUpload(ctx, r)
		if err != nil {
			return err
		}
		_, err = p.reg.WriteUpload(ctx, r, up.ID, 0, strings.NewReader(content), int64(len(content)))
		return err
	}
}

// cancelBlob gives an upload up.
func cancelBlob(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		up, err := p.reg.StartUpload(ctx, r)
		if err != nil {
			return err
		}
		if up, err = p.reg.WriteUpload(ctx, r, up.ID, 0, strings.NewReader(content), int64(len(content))); err != nil {
			return err
		}
		return p.reg.CancelUpload(ctx, r, up.ID)
	}
}

func mount(r oci.Repository, content string, from oci.Repository) operation {
	return func(ctx context.Context, p *process) error {
		d := digest.FromString(content)
		ok, err := p.reg.MountBlob(ctx, r, d, from)
		if err == nil && !ok {
			return fmt.Errorf("not mounted: %w", errUnexpected)
		}
		return p.toldOfBlob(r, d, content, err)
	}
}

// mountNothing mounts what from does not have, after which a client uploads.
func mountNothing(r oci.Repository, content string, from oci.Repository) operation {
	return func(ctx context.Context, p *process) error {
		ok, err := p.reg.MountBlob(ctx, r, digest.FromString(content), from)
		if ok {
			return fmt.Errorf("mounted: %w", errUnexpected)
		}
		return err
	}
}

func headBlob(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		d := digest.FromString(content)
		_, err := p.reg.ResolveBlob(ctx, r, d)
		return p.toldOfBlob(r, d, content, err)
	}
}

func deleteBlob(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		d := digest.FromString(content)
		delete(p.blobs, string(r)+"@"+string(d))
		return allow(p.reg.DeleteBlob(ctx, r, d), oci.BlobUnknown)
	}
}

// toldOfBlob records that a client was told of a blob.
func (w *world) toldOfBlob(r oci.Repository, d oci.Digest, content string, err error) error {
	if err == nil {
		w.blobs[string(r)+"@"+string(d)] = promise{repo: r, ref: oci.Reference{Digest: d}, content: content}
	}
	return err
}
