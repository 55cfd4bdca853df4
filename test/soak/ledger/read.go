// SPDX-License-Identifier: Apache-2.0

package ledger

import "time"

// look begins a request that changes nothing.
func (l *Ledger) look() *op {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.begin()
}

// found judges what a request found under the digest of a manifest or a tag: a digest, or "" for nothing.
func (l *Ledger) found(o *op, repo, reference, digest string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.repo(repo)
	if !isDigest(reference) {
		l.read(o, &r.tag(reference).register, digest, "the tag %s:%s", repo, reference)
		if digest != "" { // what a tag names is there (C7)
			l.read(o, &r.manifest(digest).register, digest, "the manifest %s@%s, to which the tag %s points", repo, brief(digest), reference)
		}
	} else {
		l.read(o, &r.manifest(reference).register, digest, "the manifest %s@%s", repo, brief(reference))
	}
}

// foundBlob judges that a request found a blob.
func (l *Ledger) foundBlob(o *op, repo, digest string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read(o, &l.repo(repo).blob(digest).register, digest, "the blob %s@%s", repo, brief(digest))
}

// missedBlob judges that a request did not find a blob.
func (l *Ledger) missedBlob(o *op, repo, digest string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.missed(o, repo, digest)
}

// missed judges the absence of a blob: no manifest may list it, and nobody may have been told of it within the lease,
// unless somebody deleted it since.
func (l *Ledger) missed(o *op, repo, digest string) {
	if l.frozen {
		return
	}
	now, r := l.now(), l.repo(repo)
	if user := r.user(digest, o.start, now); user != "" {
		l.lose("the blob %s@%s is missing, and the manifest %s lists it: %v", repo, brief(digest), brief(user), &r.manifests[user].register)
	}
	b := r.blob(digest)
	if told := b.promised(l.lease, o.start, now); told != nil {
		l.lose("the blob %s@%s is missing within the lease of %v: %v", repo, brief(digest), told, &b.register)
	}
}

// promised is what a client was told of a blob before start and within lease before end, and nobody may have deleted the
// blob since.
func (b *blob) promised(lease, start, end time.Duration) *event {
	for _, told := range b.events {
		if !told.sure || told.value == "" || told.end >= start || told.start+lease <= end {
			continue
		}
		deleted := false
		for _, e := range b.events {
			deleted = deleted || e.value == "" && e.end > told.start
		}
		if !deleted {
			return told
		}
	}
	return nil
}

// whole counts what a client read to its end.
func (l *Ledger) whole(manifest bool, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Bytes += bytes
	if manifest {
		l.counts.Manifests++
	} else {
		l.counts.Blobs++
	}
}

func (l *Ledger) status(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Statuses[name]++
}
