// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Content is what a manifest lists.
type Content struct {
	Blobs    []string
	Children []string
	Subject  string
}

// parse reads what a manifest lists, whatever its media type.
func parse(body []byte) (Content, error) {
	type descriptor struct {
		Digest string `json:"digest"`
	}
	var m struct {
		Config    *descriptor  `json:"config"`
		Layers    []descriptor `json:"layers"`
		Manifests []descriptor `json:"manifests"`
		Subject   *descriptor  `json:"subject"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return Content{}, fmt.Errorf("a manifest: %w", err)
	}
	var c Content
	if m.Config != nil {
		c.Blobs = append(c.Blobs, m.Config.Digest)
	}
	for _, layer := range m.Layers {
		c.Blobs = append(c.Blobs, layer.Digest)
	}
	for _, child := range m.Manifests {
		c.Children = append(c.Children, child.Digest)
	}
	if m.Subject != nil {
		c.Subject = m.Subject.Digest
	}
	return c, nil
}

func isDigest(reference string) bool { return strings.Contains(reference, ":") }

// push begins a PUT of a manifest under its digest or a tag.
func (l *Ledger) push(repo, reference, digest string, content Content) *op {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, o := l.repo(repo), l.begin()
	m := r.manifest(digest)
	m.Content = content
	for _, b := range content.Blobs {
		r.blob(b).users[digest] = true
	}
	o.may(&m.register, digest)
	m.follow(r.manifests[content.Subject], digest)
	if !isDigest(reference) {
		t := r.tag(reference)
		t.held[digest] = true
		o.may(&t.register, digest)
		// A delete of the manifest that is under way takes this tag, too.
		for _, e := range m.events {
			if e.value == "" && e.from == digest && e.end == open {
				t.add(e)
			}
		}
	}
	return o
}

// follow notes that a delete of the subject that is under way may take what is pushed now along.
func (m *manifest) follow(subject *manifest, digest string) {
	removal := func(e *event) bool { return e.value == "" && e.from != "" && e.end == open }
	if subject == nil || slices.ContainsFunc(m.events, removal) {
		return
	}
	for _, e := range subject.events {
		if removal(e) {
			c := &cascade{event: &event{from: digest, start: e.start, end: open}, decided: open}
			m.add(c.event)
			m.cascades = append(m.cascades, c)
			return
		}
	}
}

// pushed ends a push.
func (l *Ledger) pushed(o *op, repo, digest string, was outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finish(o, was)
	if was != acknowledged || l.frozen {
		return
	}
	// A delete of its subject that was answered before this push began spares what it brought.
	m := l.repo(repo).manifest(digest)
	kept := m.cascades[:0]
	for _, c := range m.cascades {
		if c.decided < o.start {
			c.event.end = c.decided
			continue
		}
		kept = append(kept, c)
	}
	m.cascades = kept
}

// refusedFor ends a push that was refused because the repository lacks something that the manifest lists.
func (l *Ledger) refusedFor(o *op, repo, digest, missing string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finish(o, refused)
	r := l.repo(repo)
	if m, known := r.manifests[missing]; known {
		l.read(o, &m.register, "", "a push into %s of %s misses its child %s", repo, brief(digest), brief(missing))
		return
	}
	l.missed(o, repo, missing)
}

// untag begins a DELETE of a tag.
func (l *Ledger) untag(repo, name string) *op {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.begin()
	o.may(&l.repo(repo).tag(name).register, "")
	return o
}

// remove begins a DELETE of a manifest, which takes its tags along, and of what refers to it that which nobody tagged.
func (l *Ledger) remove(repo, digest string) *op {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, o := l.repo(repo), l.begin()
	m := r.manifest(digest)
	e := o.may(&m.register, "")
	e.from = digest
	for _, t := range r.tags {
		if t.held[digest] {
			o.share(&t.register, e)
		}
	}
	for _, referrer := range r.referrers(digest) {
		m := r.manifests[referrer]
		c := &cascade{event: &event{from: referrer, start: o.start, end: open}, decided: open}
		m.add(c.event)
		m.cascades = append(m.cascades, c)
		o.effects = append(o.effects, effect{register: &m.register, event: c.event, cascade: c})
	}
	return o
}

// referrers are the manifests that refer to one, and those that refer to them.
func (r *repository) referrers(subject string) []string {
	var found []string
	for _, digest := range r.order {
		if r.manifests[digest].Subject == subject {
			found = append(append(found, digest), r.referrers(digest)...)
		}
	}
	return found
}

// Undelete begins to bring a manifest back. The caller calls the result with whether it succeeded: what failed may have
// happened, too.
func (l *Ledger) Undelete(repo, digest string) func(succeeded bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, o := l.repo(repo), l.begin()
	o.may(&r.manifest(digest).register, digest)
	for _, referrer := range r.referrers(digest) {
		o.perhaps(&r.manifests[referrer].register, referrer)
	}
	for _, t := range r.tags {
		if t.held[digest] {
			o.perhaps(&t.register, digest)
		}
		for _, referrer := range r.referrers(digest) {
			if t.held[referrer] {
				o.perhaps(&t.register, referrer)
			}
		}
	}
	return func(succeeded bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		was := lost
		if succeeded {
			was = acknowledged
		}
		l.finish(o, was)
	}
}

// bring begins a request that may bring a blob into a repository.
func (l *Ledger) bring(repo, digest string) *op {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.begin()
	o.may(&l.repo(repo).blob(digest).register, digest)
	return o
}

// discard begins a DELETE of a blob.
func (l *Ledger) discard(repo, digest string) *op {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.begin()
	o.may(&l.repo(repo).blob(digest).register, "")
	return o
}

// discarded ends the DELETE of a blob, which must have been refused while a manifest lists it.
func (l *Ledger) discarded(o *op, repo, digest string, was outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if was == acknowledged && !l.frozen {
		if user := l.repo(repo).user(digest, o.start, l.now()); user != "" {
			l.lose("the blob %s@%s was deleted, and the manifest %s lists it", repo, brief(digest), brief(user))
		}
	}
	l.finish(o, was)
}

// done ends any other request that writes.
func (l *Ledger) done(o *op, was outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finish(o, was)
}

// user is a manifest that lists a blob and surely was there all the time between start and end, or "".
func (r *repository) user(blob string, start, end time.Duration) string {
	b, known := r.blobs[blob]
	if !known {
		return ""
	}
	for digest := range b.users {
		if m := r.manifests[digest]; !m.allows("", start, end) {
			return digest
		}
	}
	return ""
}
