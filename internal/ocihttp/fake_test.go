// SPDX-License-Identifier: Apache-2.0

package ocihttp_test

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tare/internal/oci"
)

// fake is a registry in memory that keeps the contract of oci.Registry, without leases and retention: what the HTTP layer
// can see of a registry and no more.
type fake struct {
	mu       sync.Mutex // guards all below
	repos    map[oci.Repository]*fakeRepo
	uploads  map[string]*fakeUpload
	last     int
	fail     map[string]error                       // what a method answers instead, by its name
	before   func(ctx context.Context, call string) // called at the beginning of each method, without the lock
	dir      string                                 // where blobs are files, "" where they are in memory
	location string                                 // prefix of the Location of each blob, "" where there is none
	minChunk int64
	content  func() io.ReadCloser // what Open gives instead
	size     int64                // of each blob, where it is not 0
	perPage  int                  // how many referrers a page has, 0 for all
	absent   []oci.Digest         // what each pushed manifest lists and is not there

	directs   map[string]*fakeDirect
	waits     int             // of each direct upload
	waited    []time.Duration // how long verifications were waited for
	notDirect bool
}

type fakeRepo struct {
	blobs     map[oci.Digest]string
	manifests map[oci.Digest]oci.Content
	tags      map[oci.Tag]oci.Digest
	subjects  map[oci.Digest][]oci.Descriptor
}

type fakeUpload struct {
	repo oci.Repository
	data []byte
}

func newFake() *fake {
	return &fake{repos: map[oci.Repository]*fakeRepo{}, uploads: map[string]*fakeUpload{}, directs: map[string]*fakeDirect{}, fail: map[string]error{}}
}

var _ oci.Registry = (*fake)(nil)

// enter begins a call.
func (f *fake) enter(ctx context.Context, call string) error {
	f.mu.Lock()
	before, err := f.before, f.fail[call]
	f.mu.Unlock()
	if before != nil {
		before(ctx, call)
	}
	if err != nil {
		return err
	}
	return ctx.Err()
}

// failing makes a method answer with err, or work again where it is nil.
func (f *fake) failing(call string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail[call] = err
}

// repo returns a repository, made if need be.
func (f *fake) repo(name oci.Repository) *fakeRepo {
	r := f.repos[name]
	if r == nil {
		r = &fakeRepo{map[oci.Digest]string{}, map[oci.Digest]oci.Content{}, map[oci.Tag]oci.Digest{}, map[oci.Digest][]oci.Descriptor{}}
		f.repos[name] = r
	}
	return r
}

// digestOf hashes with the algorithm of like.
func digestOf(b string, like oci.Digest) oci.Digest {
	if strings.HasPrefix(string(like), "sha512:") {
		h := sha512.Sum512([]byte(b))
		return oci.Digest("sha512:" + hex.EncodeToString(h[:]))
	}
	h := sha256.Sum256([]byte(b))
	return oci.Digest("sha256:" + hex.EncodeToString(h[:]))
}

func (f *fake) ResolveManifest(ctx context.Context, repo oci.Repository, ref oci.Reference) (oci.Descriptor, error) {
	if err := f.enter(ctx, "ResolveManifest"); err != nil {
		return oci.Descriptor{}, err
	}
	c, err := f.manifest(repo, ref)
	return c.Descriptor, err
}

func (f *fake) Manifest(ctx context.Context, repo oci.Repository, ref oci.Reference) (oci.Content, error) {
	if err := f.enter(ctx, "Manifest"); err != nil {
		return oci.Content{}, err
	}
	return f.manifest(repo, ref)
}

func (f *fake) manifest(repo oci.Repository, ref oci.Reference) (oci.Content, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.repo(repo)
	d := ref.Digest
	if d == "" {
		d = r.tags[ref.Tag]
	}
	c, ok := r.manifests[d]
	if !ok {
		return oci.Content{}, oci.Errorf(oci.ManifestUnknown, "no manifest %s", ref)
	}
	return c, nil
}

func (f *fake) ResolveBlob(ctx context.Context, repo oci.Repository, d oci.Digest) (oci.Blob, error) {
	if err := f.enter(ctx, "ResolveBlob"); err != nil {
		return oci.Blob{}, err
	}
	b, err := f.blob(repo, d)
	blob := oci.Blob{Descriptor: oci.Descriptor{MediaType: oci.MediaTypeBlob, Digest: d, Size: int64(len(b))}}
	if f.location != "" {
		blob.Location = f.location + string(d)
	}
	return blob, err
}

func (f *fake) blob(repo oci.Repository, d oci.Digest) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, ok := f.repo(repo).blobs[d]
	if !ok {
		return "", oci.Errorf(oci.BlobUnknown, "no blob %s", d)
	}
	return b, nil
}

func (f *fake) Blob(ctx context.Context, repo oci.Repository, d oci.Digest) (oci.Blob, error) {
	if err := f.enter(ctx, "Blob"); err != nil {
		return oci.Blob{}, err
	}
	b, err := f.blob(repo, d)
	if err != nil {
		return oci.Blob{}, err
	}
	blob := oci.Blob{Descriptor: oci.Descriptor{Digest: d, Size: int64(len(b))}}
	if f.size != 0 {
		blob.Size = f.size
	}
	if f.location != "" {
		blob.Location = f.location + string(d)
	}
	blob.Open = func(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
		if err := f.enter(ctx, "Open"); err != nil {
			return nil, err
		}
		if f.content != nil {
			return f.content(), nil
		}
		return f.open(b, offset, length)
	}
	return blob, nil
}

// open gives a range of a blob, and a file only where it goes to the end.
func (f *fake) open(b string, offset, length int64) (io.ReadCloser, error) {
	switch {
	case offset < 0 || offset > int64(len(b)) || length > int64(len(b))-offset:
		return nil, fmt.Errorf("range %d+%d of %d bytes", offset, length, len(b))
	case length >= 0:
		return io.NopCloser(strings.NewReader(b[offset : offset+length])), nil
	case f.dir == "":
		return io.NopCloser(strings.NewReader(b[offset:])), nil
	}
	file, err := os.CreateTemp(f.dir, "")
	if err != nil {
		return nil, err
	}
	if _, err := file.WriteString(b); err != nil {
		return nil, err
	}
	_, err = file.Seek(offset, io.SeekStart)
	return file, err
}

func (f *fake) PushBlob(ctx context.Context, repo oci.Repository, d oci.Digest, body io.Reader, size int64) (oci.Descriptor, error) {
	if err := f.enter(ctx, "PushBlob"); err != nil {
		return oci.Descriptor{}, err
	}
	b, err := readBody(body, size)
	if err != nil {
		return oci.Descriptor{}, err
	}
	return f.keep(repo, d, string(b))
}

// readBody reads size bytes, or all where that is -1. It does not look for more, nor at an error behind the last one.
func readBody(body io.Reader, size int64) ([]byte, error) {
	if size < 0 {
		b, err := io.ReadAll(body)
		if err != nil {
			err = fmt.Errorf("reading the body: %w", err)
		}
		return b, err
	}
	b := make([]byte, size)
	n, err := io.ReadFull(body, b)
	if err != nil {
		err = fmt.Errorf("reading the body: %w", err)
	}
	return b[:n], err
}

func (f *fake) keep(repo oci.Repository, d oci.Digest, b string) (oci.Descriptor, error) {
	if digestOf(b, d) != d {
		return oci.Descriptor{}, oci.Errorf(oci.DigestInvalid, "the content is not %s", d)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.repo(repo).blobs[d] = b
	return oci.Descriptor{Digest: d, Size: int64(len(b))}, nil
}

func (f *fake) StartUpload(ctx context.Context, repo oci.Repository) (oci.Upload, error) {
	if err := f.enter(ctx, "StartUpload"); err != nil {
		return oci.Upload{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	id := "upload-" + strconv.Itoa(f.last)
	f.uploads[id] = &fakeUpload{repo: repo}
	return oci.Upload{ID: id, MinChunk: f.minChunk}, nil
}

// upload finds an upload; the lock is held.
func (f *fake) upload(repo oci.Repository, id string) (*fakeUpload, error) {
	u := f.uploads[id]
	if u == nil || u.repo != repo {
		return nil, oci.Errorf(oci.BlobUploadUnknown, "no upload %q", id)
	}
	return u, nil
}

func (f *fake) ResumeUpload(ctx context.Context, repo oci.Repository, id string) (oci.Upload, error) {
	if err := f.enter(ctx, "ResumeUpload"); err != nil {
		return oci.Upload{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	u, err := f.upload(repo, id)
	if err != nil {
		return oci.Upload{}, err
	}
	return oci.Upload{ID: id, Offset: int64(len(u.data)), MinChunk: f.minChunk}, nil
}

func (f *fake) WriteUpload(ctx context.Context, repo oci.Repository, id string, offset int64, body io.Reader, size int64) (oci.Upload, error) {
	if err := f.enter(ctx, "WriteUpload"); err != nil {
		return oci.Upload{}, err
	}
	return f.append(ctx, repo, id, offset, body, size)
}

func (f *fake) append(ctx context.Context, repo oci.Repository, id string, offset int64, body io.Reader, size int64) (oci.Upload, error) {
	f.mu.Lock()
	u, err := f.upload(repo, id)
	if err != nil {
		f.mu.Unlock()
		return oci.Upload{}, err
	}
	at := int64(len(u.data))
	f.mu.Unlock()
	if offset >= 0 && offset != at {
		return oci.Upload{ID: id, Offset: at}, oci.Errorf(oci.RangeInvalid, "the upload stands at %d, not at %d", at, offset)
	}
	b, err := readBody(body, size)
	if ctx.Err() != nil {
		return oci.Upload{}, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	u.data = append(u.data, b...)
	return oci.Upload{ID: id, Offset: int64(len(u.data)), MinChunk: f.minChunk}, err
}

func (f *fake) FinishUpload(ctx context.Context, repo oci.Repository, id string, d oci.Digest, offset int64, body io.Reader, size int64) (oci.Descriptor, error) {
	if err := f.enter(ctx, "FinishUpload"); err != nil {
		return oci.Descriptor{}, err
	}
	if _, err := f.append(ctx, repo, id, offset, body, size); err != nil {
		return oci.Descriptor{}, err
	}
	f.mu.Lock()
	data := string(f.uploads[id].data)
	delete(f.uploads, id)
	f.mu.Unlock()
	return f.keep(repo, d, data)
}

func (f *fake) CancelUpload(ctx context.Context, repo oci.Repository, id string) error {
	if err := f.enter(ctx, "CancelUpload"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.upload(repo, id); err != nil {
		return err
	}
	delete(f.uploads, id)
	return nil
}

func (f *fake) MountBlob(ctx context.Context, repo oci.Repository, d oci.Digest, from oci.Repository) (bool, error) {
	if err := f.enter(ctx, "MountBlob"); err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	b, ok := f.repo(from).blobs[d]
	if ok {
		f.repo(repo).blobs[d] = b
	}
	return ok, nil
}

func (f *fake) PushManifest(ctx context.Context, repo oci.Repository, push oci.ManifestPush) (pushed oci.PushedManifest, err error) {
	if err := f.enter(ctx, "PushManifest"); err != nil {
		return pushed, err
	}
	m, err := oci.ParseManifest(push.Body, push.MediaType)
	if err != nil {
		return pushed, err
	}
	d := digestOf(string(push.Body), push.Digest)
	if push.Digest != "" && push.Digest != d {
		return pushed, oci.Errorf(oci.DigestInvalid, "the content is not %s", push.Digest)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.repo(repo)
	if err := r.complete(m); err != nil {
		return pushed, err
	}
	for _, t := range push.Tags {
		now, there := r.tags[t]
		if push.IfAbsent && there || push.IfMatch != "" && now != push.IfMatch {
			return pushed, oci.Errorf(oci.PreconditionFailed, "tag %s points to %q", t, now)
		}
	}
	desc := oci.Descriptor{MediaType: m.MediaType, Digest: d, Size: int64(len(push.Body))}
	if _, known := r.manifests[d]; !known && m.Subject != nil {
		r.subjects[m.Subject.Digest] = append(r.subjects[m.Subject.Digest], m.Referrer(d, desc.Size))
	}
	r.manifests[d] = oci.Content{Descriptor: desc, Body: string(push.Body)}
	for _, t := range push.Tags {
		r.tags[t] = d
	}
	return oci.PushedManifest{Descriptor: desc, Absent: f.absent}, nil
}

// complete tells whether all that the manifest references is there.
func (r *fakeRepo) complete(m oci.Manifest) error {
	blobs := slices.Concat(m.Layers, m.Blobs)
	if m.Config != nil {
		blobs = append(blobs, *m.Config)
	}
	for _, b := range blobs {
		if _, ok := r.blobs[b.Digest]; !ok && !b.NonDistributable() {
			return &oci.Error{Code: oci.ManifestBlobUnknown, Message: "a blob is missing", Detail: map[string]any{"digest": b.Digest}}
		}
	}
	for _, c := range m.Manifests {
		if _, ok := r.manifests[c.Digest]; !ok {
			return &oci.Error{Code: oci.ManifestBlobUnknown, Message: "a manifest is missing", Detail: map[string]any{"digest": c.Digest}}
		}
	}
	return nil
}

func (f *fake) DeleteTag(ctx context.Context, repo oci.Repository, tag oci.Tag) error {
	if err := f.enter(ctx, "DeleteTag"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.repo(repo)
	if _, ok := r.tags[tag]; !ok {
		return oci.Errorf(oci.ManifestUnknown, "no tag %s", tag)
	}
	delete(r.tags, tag)
	return nil
}

func (f *fake) DeleteManifest(ctx context.Context, repo oci.Repository, d oci.Digest) error {
	if err := f.enter(ctx, "DeleteManifest"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.repo(repo)
	if _, ok := r.manifests[d]; !ok {
		return oci.Errorf(oci.ManifestUnknown, "no manifest %s", d)
	}
	delete(r.manifests, d)
	for t, to := range r.tags {
		if to == d {
			delete(r.tags, t)
		}
	}
	for s, list := range r.subjects {
		r.subjects[s] = slices.DeleteFunc(list, func(x oci.Descriptor) bool { return x.Digest == d })
	}
	return nil
}

func (f *fake) DeleteBlob(ctx context.Context, repo oci.Repository, d oci.Digest) error {
	if err := f.enter(ctx, "DeleteBlob"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.repo(repo)
	if _, ok := r.blobs[d]; !ok {
		return oci.Errorf(oci.BlobUnknown, "no blob %s", d)
	}
	for _, c := range r.manifests {
		if strings.Contains(c.Body, string(d)) {
			return oci.Errorf(oci.InUse, "manifest %s lists the blob", c.Digest)
		}
	}
	delete(r.blobs, d)
	return nil
}

func (f *fake) Tags(ctx context.Context, repo oci.Repository, last string, n int) ([]string, bool, error) {
	if err := f.enter(ctx, "Tags"); err != nil {
		return nil, false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.repos[repo] == nil {
		return nil, false, oci.Errorf(oci.NameUnknown, "no repository %s", repo)
	}
	var names []string
	for t := range f.repos[repo].tags {
		names = append(names, string(t))
	}
	names, more := page(names, last, n)
	return names, more, nil
}

func (f *fake) Repositories(ctx context.Context, last string, n int, keep func(oci.Repository) bool) ([]string, bool, error) {
	if err := f.enter(ctx, "Repositories"); err != nil {
		return nil, false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for r := range f.repos {
		if keep == nil || keep(r) {
			names = append(names, string(r))
		}
	}
	names, more := page(names, last, n)
	return names, more, nil
}

// page cuts a page out of names, which it sorts.
func page(names []string, last string, n int) ([]string, bool) {
	slices.Sort(names)
	i, _ := slices.BinarySearch(names, last+"\x00")
	if last == "" {
		i = 0
	}
	names = names[i:]
	if len(names) > n {
		return names[:n:n], n > 0
	}
	return names, false
}

func (f *fake) Referrers(ctx context.Context, repo oci.Repository, d oci.Digest, artifactType, last string) ([]oci.Descriptor, string, error) {
	if err := f.enter(ctx, "Referrers"); err != nil {
		return nil, "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []oci.Descriptor
	for _, r := range f.repo(repo).subjects[d] {
		if artifactType == "" || artifactType == r.ArtifactType {
			list = append(list, r)
		}
	}
	from := 0
	if last != "" {
		n, err := strconv.Atoi(strings.TrimSuffix(last, "&+"))
		if err != nil || n > len(list) {
			return nil, "", errors.New("not a position of mine")
		}
		from = n
	}
	if f.perPage > 0 && from+f.perPage < len(list) {
		return list[from : from+f.perPage], strconv.Itoa(from+f.perPage) + "&+", nil
	}
	return list[from:], "", nil
}
