// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tare/internal/oci"
	"tare/internal/store"
)

// Finding is a broken invariant.
type Finding struct {
	Invariant string // C1 … C12, as docs/consistency.md states them
	Subject   string // the row or object that it was found at
	Text      string
}

func (f Finding) String() string { return f.Invariant + " " + f.Subject + ": " + f.Text }

// Audit compares what the table says with itself and with the objects: it counts every reference anew, and matches
// objects with owners both ways. It holds all rows but the bodies' bytes in memory. It is exact for a registry at which
// nobody writes; beside traffic its two lists are of different moments.
func (l *Ledger) Audit(ctx context.Context, scan store.Scanner) ([]Finding, error) {
	a := &audit{
		rows:    map[string][]store.Item{},
		byKey:   map[store.Key]store.Row{},
		objects: map[string]int64{},
		owners:  map[string][]string{},
	}
	if err := a.readRows(ctx, scan); err != nil {
		return nil, err
	}
	if err := a.readObjects(ctx, l.objects); err != nil {
		return nil, err
	}
	pending, err := l.parts.Pending(ctx, "")
	if err != nil {
		return nil, err
	}
	a.ownership(pending)
	a.blobs()
	a.manifests()
	a.tags()
	a.referrers()
	a.dues()
	slices.SortFunc(a.findings, func(x, y Finding) int { return strings.Compare(x.String(), y.String()) })
	return a.findings, nil
}

type audit struct {
	rows     map[string][]store.Item // by kind
	byKey    map[store.Key]store.Row
	objects  map[string]int64    // sizes
	owners   map[string][]string // of object keys and content rows
	findings []Finding
}

func (a *audit) find(invariant, subject, format string, args ...any) {
	a.findings = append(a.findings, Finding{invariant, subject, fmt.Sprintf(format, args...)})
}

func (a *audit) readRows(ctx context.Context, scan store.Scanner) error {
	var after store.Key
	for {
		page, err := scan.Scan(ctx, after, pageSize)
		if err != nil {
			return err
		}
		for _, it := range page.Items {
			after = it.Key
			if err := checkFormat(it.Key, it.Row); err != nil {
				return err
			}
			kind, _ := kindOf(it.Key)
			a.rows[kind] = append(a.rows[kind], it)
			a.byKey[it.Key] = it.Row
		}
		if !page.More {
			return nil
		}
	}
}

func (a *audit) readObjects(ctx context.Context, objects store.Objects) error {
	after := ""
	for {
		page, err := objects.List(ctx, "", after, pageSize)
		if err != nil {
			return err
		}
		for _, o := range page {
			a.objects[o.Key] = o.Size
			after = o.Key
		}
		if len(page) < pageSize {
			return nil
		}
	}
}

// ownership checks C1: each object, and each unfinished multipart upload, has exactly one owner.
func (a *audit) ownership(pending []store.PendingUpload) {
	own := func(object string, it store.Item) {
		if object != "" {
			a.owners[object] = append(a.owners[object], it.Key.String())
		}
	}
	for _, kind := range []string{kindBlob, kindBody, kindSession} {
		for _, it := range a.rows[kind] {
			own(it.Row.Text(attrObject), it)
		}
	}
	for _, it := range a.rows[kindTombstone] {
		_, object := kindOf(it.Key)
		own(object, it)
	}
	for object, owners := range a.owners {
		if len(owners) > 1 {
			a.find("C1", object, "owned by %s", strings.Join(owners, " and "))
		}
	}
	for object := range a.objects {
		if len(a.owners[object]) == 0 {
			a.find("C1", object, "an object without an owner")
		}
	}
	for _, p := range pending {
		if len(a.owners[p.Key]) == 0 {
			a.find("C1", p.Key, "an unfinished upload without an owner")
		}
	}
	for _, it := range a.rows[kindContent] {
		if _, object := kindOf(it.Key); len(a.owners[object]) == 0 {
			a.find("C1", it.Key.String(), "bytes in the table without an owner")
		}
	}
}

// blobs checks C2 and C3 between blobs, links and bytes.
func (a *audit) blobs() {
	links := map[oci.Digest]int64{}
	for _, it := range a.rows[kindLink] {
		d := oci.Digest(it.Key.SK)
		links[d]++
		b, ok := a.byKey[blobKey(d)]
		if !ok {
			a.find("C2", it.Key.String(), "a link to a blob that has no row")
			continue
		}
		if b.Text(attrObject) != it.Row.Text(attrObject) || b.Num(attrSize) != it.Row.Num(attrSize) {
			a.find("C2", it.Key.String(), "names object %s of %d bytes; the blob has %s of %d", it.Row.Text(attrObject),
				it.Row.Num(attrSize), b.Text(attrObject), b.Num(attrSize))
		}
	}
	for _, it := range a.rows[kindBlob] {
		_, name := kindOf(it.Key)
		if n := links[oci.Digest(name)]; n != it.Row.Num(attrLinks) {
			a.find("C2", it.Key.String(), "counts %d links; there are %d", it.Row.Num(attrLinks), n)
		}
		a.checkBytes(it, it.Row.Text(attrObject), it.Row.Num(attrSize))
	}
}

// checkBytes checks that the bytes that a row owns are there, and as many as it says.
func (a *audit) checkBytes(it store.Item, object string, size int64) {
	n, ok := a.objects[object]
	if isInline(object) {
		var content store.Row
		content, ok = a.byKey[contentKey(object)]
		n = int64(len(content.Text(attrBytes)))
	}
	switch {
	case !ok:
		a.find("C3", it.Key.String(), "its bytes, %s, are not there", object)
	case n != size:
		a.find("C3", it.Key.String(), "its bytes, %s, are %d; it says %d", object, n, size)
	}
}

// manifests recomputes the references of links and the parents of manifests from what manifests hold (C2), and checks
// that visible ones have all that they hold (C3) and a repository row (C11).
func (a *audit) manifests() {
	held := map[store.Key]int64{}
	for _, it := range a.rows[kindManifest] {
		_, rest := kindOf(it.Key)
		repo, m := oci.Repository(rest), readManifest(it.Row)
		if _, ok := a.byKey[repositoryKey(repo)]; !ok && m.visible() {
			a.find("C11", it.Key.String(), "its repository has no row")
		}
		row, ok := a.byKey[bodyKey(repo, oci.Digest(it.Key.SK))]
		b, err := readBody(row)
		switch {
		case !ok:
			a.find("C3", it.Key.String(), "has no body")
			continue
		case err != nil:
			a.find("C3", it.Key.String(), "its edges cannot be read")
			continue
		case row.Text(attrVersion) != m.held:
			a.find("C2", it.Key.String(), "its cursor counts the edges of another body")
			continue
		case int(m.cursor) > len(b.edges):
			a.find("C2", it.Key.String(), "its cursor is at %d of %d edges", m.cursor, len(b.edges))
			continue
		}
		for _, e := range b.edges[:m.cursor] {
			held[e.key(repo)]++
		}
		if m.visible() {
			a.checkVisible(it, repo, m, b)
		}
	}
	for _, it := range a.rows[kindBody] {
		_, rest := kindOf(it.Key)
		if _, ok := a.byKey[manifestKey(oci.Repository(rest), oci.Digest(it.Key.SK))]; !ok {
			a.find("C1", it.Key.String(), "a body without a manifest")
		}
	}
	for kind, attr := range map[string]string{kindLink: attrRefs, kindManifest: attrParents} {
		for _, it := range a.rows[kind] {
			if n := held[it.Key]; n != it.Row.Num(attr) {
				a.find("C2", it.Key.String(), "counts %d %s; there are %d", it.Row.Num(attr), attr, n)
			}
		}
	}
}

func (a *audit) checkVisible(it store.Item, repo oci.Repository, m manifest, b body) {
	if int(m.cursor) != len(b.edges) {
		a.find("C3", it.Key.String(), "visible with %d of %d edges", m.cursor, len(b.edges))
	}
	if b.object != "" {
		a.checkBytes(it, b.object, m.size)
	}
	for _, e := range b.edges {
		r, ok := a.byKey[e.key(repo)]
		if !ok || e.child && !readManifest(r).visible() {
			a.find("C3", it.Key.String(), "holds %s, which is not there", e.digest)
		}
	}
}

// tags checks C7: each tag's manifest is visible and counts it, and each has its reverse row.
func (a *audit) tags() {
	tags := map[store.Key]int64{}
	for _, it := range a.rows[kindTag] {
		_, rest := kindOf(it.Key)
		repo, t := oci.Repository(rest), readTag(it.Row)
		mk := manifestKey(repo, t.digest)
		tags[mk]++
		if !readManifest(a.byKey[mk]).visible() {
			a.find("C7", it.Key.String(), "points to %s, which is not visible", t.digest)
		}
		if r, ok := a.byKey[tagOfKey(repo, t.digest, oci.Tag(it.Key.SK))]; !ok || r.Has(attrGone) {
			a.find("C7", it.Key.String(), "has no reverse row")
		}
	}
	for _, it := range a.rows[kindManifest] {
		if m := readManifest(it.Row); m.tags != tags[it.Key] {
			a.find("C7", it.Key.String(), "counts %d tags; there are %d", m.tags, tags[it.Key])
		}
	}
	for _, it := range a.rows[kindTagOf] {
		_, rest := kindOf(it.Key)
		digest, name, _ := strings.Cut(it.Key.SK, "#")
		repo := oci.Repository(rest)
		if _, ok := a.byKey[manifestKey(repo, oci.Digest(digest))]; !ok {
			a.find("C7", it.Key.String(), "a reverse row of a manifest that is not there")
		}
		t := readTag(a.byKey[tagKey(repo, oci.Tag(name))])
		if !it.Row.Has(attrGone) && t.digest != oci.Digest(digest) {
			a.find("C7", it.Key.String(), "a reverse row of a tag that points elsewhere")
		}
	}
}

// referrers checks that a subject's list shows each visible manifest that names it, and nothing else.
func (a *audit) referrers() {
	listed := map[store.Key]bool{}
	for _, it := range a.rows[kindManifest] {
		_, rest := kindOf(it.Key)
		m := readManifest(it.Row)
		if m.subject == "" {
			continue
		}
		k := referrerKey(oci.Repository(rest), m.subject, m.artifact, oci.Digest(it.Key.SK))
		listed[k] = m.visible()
		if r, ok := a.byKey[k]; m.visible() && (!ok || r.Has(attrGone)) {
			a.find("C3", it.Key.String(), "is not among the referrers of its subject")
		}
	}
	for _, it := range a.rows[kindReferrer] {
		if visible, ok := listed[it.Key]; !ok || !visible && !it.Row.Has(attrGone) {
			a.find("C3", it.Key.String(), "lists a referrer that is not visible")
		}
	}
}

// dues checks C6: whatever may have to go carries a due, in a slice of the index.
func (a *audit) dues() {
	for kind, items := range a.rows {
		for _, it := range items {
			r := it.Row
			if r.Has(attrDue) && r.Num(attrShard) != shardOf(it.Key) {
				a.find("C6", it.Key.String(), "is due in a slice of the index that is not its own")
			}
			must := false
			switch kind {
			case kindLink:
				must = r.Num(attrRefs) == 0
			case kindBlob:
				must = r.Num(attrLinks) == 0
			case kindManifest:
				must = r.Text(attrState) != stateVisible
			case kindSession, kindTombstone, kindHistory:
				must = true
			case kindRepository:
				must = r.Text(attrState) == stateClosing
			}
			if must && !r.Has(attrDue) {
				a.find("C6", it.Key.String(), "may have to go and is never due")
			}
		}
	}
}
