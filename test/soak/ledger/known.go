// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"maps"
	"slices"
)

// Known is a manifest that a client pushed at some time, or tried to.
type Known struct {
	Repo, Digest string
	Content
}

// Blob is a blob of a repository.
type Blob struct{ Repo, Digest string }

// Repositories are those of which anything is known.
func (l *Ledger) Repositories() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.repos))
}

// Manifests are all that are known, those that were deleted included.
func (l *Ledger) Manifests() []Known {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Known
	for name, r := range l.repos {
		for _, digest := range r.order {
			all = append(all, Known{name, digest, r.manifests[digest].Content})
		}
	}
	return all
}

// Tags are the names of all tags of a repository that are known, those that were deleted included.
func (l *Ledger) Tags(repo string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.repo(repo).tags))
}

// Promised are the blobs that have to be there because a client was told of them within the lease.
func (l *Ledger) Promised() []Blob {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	var all []Blob
	for name, r := range l.repos {
		for digest, b := range r.blobs {
			if b.promised(l.lease, now, now) != nil {
				all = append(all, Blob{name, digest})
			}
		}
	}
	return all
}

// Listed judges a list of all tags of a repository: those that must be there are. The caller calls the result with it.
func (l *Ledger) Listed(repo string) func(names []string) {
	o := l.look()
	return func(names []string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		listed := make(map[string]bool)
		for _, name := range names {
			listed[name] = true
		}
		for name, t := range l.repo(repo).tags {
			if !listed[name] {
				l.read(o, &t.register, "", "the list of the tags of %s, without %s", repo, name)
			}
		}
		l.finish(o, acknowledged)
	}
}

// Referred judges a list of all that refers to a manifest: it shows what must be there and nothing that cannot be.
func (l *Ledger) Referred(repo, subject string) func(digests []string) {
	o := l.look()
	return func(digests []string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		r := l.repo(repo)
		for _, digest := range r.order {
			if m := r.manifests[digest]; m.Subject == subject {
				shown := ""
				if slices.Contains(digests, digest) {
					shown = digest
				}
				l.read(o, &m.register, shown, "the list of what refers to %s@%s, at %s", repo, brief(subject), brief(digest))
			}
		}
		l.finish(o, acknowledged)
	}
}
