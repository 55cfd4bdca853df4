// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tare/internal/oci"
	"tare/internal/store"
)

// The kinds of findings.
const (
	foundUnreadable = "unreadable"  // a row that is not what was written
	foundNewer      = "newer"       // a row of a newer format
	foundMalformed  = "malformed"   // a row that says what no row can say
	foundOwners     = "two-owners"  // an object with two owners
	foundOrphan     = "orphan"      // bytes without an owner
	foundBytes      = "bytes"       // bytes that are not there, or of another length
	foundContent    = "content"     // bytes with another digest
	foundLink       = "link"        // a link and its blob do not agree
	foundCount      = "count"       // a count is wrong
	foundManifest   = "manifest"    // a manifest lacks what it holds
	foundTag        = "tag"         // a tag without its manifest
	foundReverse    = "reverse-row" // the list of a manifest's tags is wrong
	foundReferrer   = "referrer"    // the list of a subject's referrers is wrong
	foundDue        = "due"         // garbage that would stay
	foundRepository = "repository"  // a repository without its row
)

const (
	adviceRestore = "restore a backup"
	advicePush    = "push the image again and run tare fsck --repair, or restore a backup"
	adviceDelete  = "delete the manifests that list it, delete it in each repository that has it, run tare gc, and push again; or restore a backup"
	adviceRepair  = "tare fsck --repair mends it"
	adviceLeave   = "copy the data folder as it is, and restore a backup"
)

// related names the rows that a row is compared with, as far as what was read of them tells.
func related(k store.Key, v view) []store.Key {
	r := v[k]
	if r == nil || malformedKey(k) != "" || malformedRow(k, r) != "" {
		return nil
	}
	kind, rest := kindOf(k)
	repo := oci.Repository(rest)
	switch kind {
	case kindLink:
		return []store.Key{blobKey(oci.Digest(k.SK))}
	case kindManifest:
		m, d := readManifest(r), oci.Digest(k.SK)
		keys := []store.Key{repositoryKey(repo), bodyKey(repo, d)}
		if m.subject != "" {
			keys = append(keys, referrerKey(repo, m.subject, m.artifact, d))
		}
		b, err := readBody(v[bodyKey(repo, d)])
		if err == nil && m.visible() {
			for _, e := range b.edges {
				keys = append(keys, e.key(repo))
			}
		}
		return keys
	case kindBody:
		return []store.Key{manifestKey(repo, oci.Digest(k.SK))}
	case kindTag:
		d := readTag(r).digest
		return []store.Key{manifestKey(repo, d), tagOfKey(repo, d, oci.Tag(k.SK))}
	case kindTagOf:
		d, name, _ := strings.Cut(k.SK, "#")
		return []store.Key{manifestKey(repo, oci.Digest(d)), tagKey(repo, oci.Tag(name))}
	case kindReferrer:
		return []store.Key{manifestKey(repo, oci.Digest(k.SK[strings.LastIndexByte(k.SK, '#')+1:]))}
	case kindBlob:
		if object := r.Text(attrObject); isInline(object) {
			return []store.Key{contentKey(object)}
		}
	}
	return nil
}

// examination is a row under examination, beside what it is compared with.
type examination struct {
	l      *Ledger
	key    store.Key
	repo   oci.Repository
	v      view
	faults []fault
}

// faults compares a row with what v has beside it. What it says of rows that cannot be read is left out.
func (f *fsck) faults(k store.Key, v view) []fault {
	r := v[k]
	if r == nil {
		return nil
	}
	x := &examination{l: f.l, key: k, v: v}
	if text := malformedKey(k); text != "" {
		x.find(foundMalformed, "A1", Must, adviceLeave, text)
		return x.faults
	}
	if text := malformedRow(k, r); text != "" {
		x.find(foundMalformed, "A1", Must, adviceLeave, text)
		return x.faults
	}
	kind, rest := kindOf(k)
	x.repo = oci.Repository(rest)
	x.due(r)
	switch kind {
	case kindLink:
		x.link(r)
	case kindManifest:
		x.manifest(readManifest(r), oci.Digest(k.SK))
	case kindBody:
		x.body()
	case kindTag:
		x.tag(readTag(r))
	case kindTagOf:
		x.tagOf(r)
	case kindReferrer:
		x.referrer(r)
	}
	known := x.faults[:0]
	for _, ft := range x.faults {
		if !f.anyUnreadable(ft.rows) {
			known = append(known, ft)
		}
	}
	return known
}

func (f *fsck) anyUnreadable(keys []store.Key) bool {
	return slices.ContainsFunc(keys, func(k store.Key) bool { return f.unreadable[k] != nil })
}

// find adds a fault of the row, taken from it and from beside.
func (x *examination) find(kind, invariant string, s Severity, advice, text string, beside ...store.Key) *fault {
	x.faults = append(x.faults, fault{
		Finding: Finding{Kind: kind, Invariant: invariant, Severity: s, Subject: x.key.String(), Where: where(x.key), Text: text, Advice: advice},
		rows:    append([]store.Key{x.key}, beside...),
	})
	return &x.faults[len(x.faults)-1]
}

// mend says how the fault is mended, and that it can be.
func (ft *fault) mend(done string, fix func(now time.Time) []store.Op) {
	ft.done, ft.fix, ft.Advice = done, fix, adviceRepair
}

// link checks C2 between a link and its blob.
func (x *examination) link(r store.Row) {
	bk := blobKey(oci.Digest(x.key.SK))
	b := x.v[bk]
	switch {
	case b == nil:
		x.find(foundLink, "C2", Must, adviceRestore, "a link to a blob that has no row", bk)
	case b.Text(attrObject) != r.Text(attrObject) || b.Num(attrSize) != r.Num(attrSize):
		x.find(foundLink, "C2", Must, adviceLeave, fmt.Sprintf("names object %s of %d bytes; the blob has %s of %d",
			r.Text(attrObject), r.Num(attrSize), b.Text(attrObject), b.Num(attrSize)), bk)
	}
}

// manifest checks that a manifest has its body, its repository's row (C11) and, when it is visible, all that it holds (C3).
func (x *examination) manifest(m manifest, d oci.Digest) {
	nk, yk := repositoryKey(x.repo), bodyKey(x.repo, d)
	if m.visible() && x.v[nk] == nil {
		ft := x.find(foundRepository, "C11", Should, "", "a repository with manifests has no row", nk)
		ft.Subject, ft.Where = nk.String(), where(nk)
		ft.mend("made it", func(now time.Time) []store.Op {
			var t txn
			x.l.openRepository(&t, now, x.repo, nil)
			return t.ops
		})
	}
	b, err := readBody(x.v[yk])
	switch {
	case !b.there:
		x.find(foundManifest, "C3", Must, adviceRestore, "has no body", yk)
		return
	case err != nil:
		x.find(foundManifest, "C3", Must, adviceRestore, "its edges cannot be read", yk)
		return
	case x.v[yk].Text(attrVersion) != m.held:
		x.find(foundManifest, "C2", Must, adviceRestore, "its cursor counts the edges of another body", yk)
		return
	case int(m.cursor) > len(b.edges) || m.cursor < 0:
		x.find(foundManifest, "C2", Must, adviceRestore, fmt.Sprintf("its cursor is at %d of %d edges", m.cursor, len(b.edges)), yk)
		return
	}
	if m.visible() {
		x.visible(m, d, b)
	}
}

func (x *examination) visible(m manifest, d oci.Digest, b body) {
	yk := bodyKey(x.repo, d)
	if int(m.cursor) != len(b.edges) {
		x.find(foundManifest, "C3", Must, adviceRestore, fmt.Sprintf("visible with %d of %d edges", m.cursor, len(b.edges)), yk)
	}
	for _, e := range b.edges {
		ek := e.key(x.repo)
		if r := x.v[ek]; r == nil || e.child && !readManifest(r).visible() {
			x.find(foundManifest, "C3", Must, advicePush, fmt.Sprintf("holds %s, which is not there", e.digest), yk, ek)
		}
	}
	if m.subject == "" {
		return
	}
	rk := referrerKey(x.repo, m.subject, m.artifact, d)
	if r := x.v[rk]; r == nil || r.Has(attrGone) {
		x.find(foundReferrer, "C3", Should, adviceDelete, "is not among the referrers of its subject", rk)
	}
}

// body checks that a body has its manifest.
func (x *examination) body() {
	mk := manifestKey(x.repo, oci.Digest(x.key.SK))
	if x.v[mk] == nil {
		x.find(foundManifest, "C1", Must, adviceRestore, "a body without a manifest", mk)
	}
}

// tag checks that a tag's manifest is visible, and that the manifest's list of tags has it (C7).
func (x *examination) tag(t tag) {
	mk, dk := manifestKey(x.repo, t.digest), tagOfKey(x.repo, t.digest, oci.Tag(x.key.SK))
	if !readManifest(x.v[mk]).visible() {
		x.find(foundTag, "C7", Must, adviceRestore, fmt.Sprintf("points to %s, which is not visible", t.digest), mk)
		return
	}
	if r := x.v[dk]; r == nil || r.Has(attrGone) {
		x.find(foundReverse, "C7", Should, "", "has no reverse row", mk, dk).mend("made the reverse row", func(time.Time) []store.Op {
			var t txn
			t.put(dk, plainRow())
			return t.ops
		})
	}
}

// tagOf checks that a reverse row has its manifest, and its tag unless that went with the manifest (C7).
func (x *examination) tagOf(r store.Row) {
	digest, name, _ := strings.Cut(x.key.SK, "#")
	mk, tk := manifestKey(x.repo, oci.Digest(digest)), tagKey(x.repo, oci.Tag(name))
	pointed := readTag(x.v[tk]).digest == oci.Digest(digest)
	remove := func(time.Time) []store.Op {
		var t txn
		t.remove(x.key)
		return t.ops
	}
	switch {
	case !pointed && x.v[mk] == nil:
		x.find(foundReverse, "C7", Should, "", "a reverse row of a manifest that is not there", mk, tk).mend("removed it", remove)
	case !pointed && !r.Has(attrGone):
		x.find(foundReverse, "C7", Should, "", "a reverse row of a tag that points elsewhere", tk).mend("removed it", remove)
	}
}

// referrer checks that a subject's list shows nothing that is not visible (C3).
func (x *examination) referrer(r store.Row) {
	d := oci.Digest(x.key.SK[strings.LastIndexByte(x.key.SK, '#')+1:])
	mk := manifestKey(x.repo, d)
	m := readManifest(x.v[mk])
	if m.there && referrerKey(x.repo, m.subject, m.artifact, d) == x.key && (m.visible() || r.Has(attrGone)) {
		return
	}
	ft := x.find(foundReferrer, "C3", Should, adviceRestore, "lists a referrer that is not visible", mk)
	if !m.there {
		ft.mend("removed it from the list", func(time.Time) []store.Op {
			var t txn
			t.remove(x.key)
			return t.ops
		})
	}
}

// due checks C6: what may have to go carries a due, in its own slice of the index. Whether a link or a blob may go, its
// count says, which has to be taken anew first.
func (x *examination) due(r store.Row) {
	if kind, _ := kindOf(x.key); kind == kindLink || kind == kindBlob {
		return
	}
	set := func(conds []store.Cond, attrs ...store.Attr) func(time.Time) []store.Op {
		return func(time.Time) []store.Op {
			var t txn
			t.update(x.key, change{set: append(attrs, num(attrShard, shardOf(x.key)))}, conds...)
			return t.ops
		}
	}
	if r.Has(attrDue) {
		if astray(x.key, r) {
			x.find(foundDue, "C6", Should, "", textAstray).
				mend("moved it to its slice", set([]store.Cond{equals(attrDue, r.Num(attrDue))}))
		}
		return
	}
	wait, conds := x.goes(r)
	if conds == nil {
		return
	}
	at := due(x.l.clock.Now().Add(wait))
	if kind, _ := kindOf(x.key); kind == kindHistory {
		at = due(historyTime(x.key.SK).Add(x.l.cfg.Margins.History))
	}
	x.find(foundDue, "C6", Should, "", textNeverDue).
		mend("gave it a due", set(append(conds, without(attrDue)), at))
}

const (
	textNeverDue = "may have to go and is never due"
	textAstray   = "is due in a slice of the index that is not its own"
)

// astray tells whether no sweep looks for a due row where the index has it.
func astray(k store.Key, r store.Row) bool { return r.Get(attrShard) != store.Int(shardOf(k)) }

// unseen says why no sweep would find a link or a blob that counts nothing, "" for one that it finds.
func unseen(k store.Key, r store.Row) string {
	kind, _ := kindOf(k)
	switch {
	case kind != kindLink && kind != kindBlob, r.Num(attrRefs)+r.Num(attrLinks) != 0:
		return ""
	case !r.Has(attrDue):
		return textNeverDue
	case astray(k, r):
		return textAstray
	}
	return ""
}

// goes tells whether a row may have to go, by a condition that says why, and how long it stays at most. No condition: it
// stays.
func (x *examination) goes(r store.Row) (time.Duration, []store.Cond) {
	m := x.l.cfg.Margins
	state := []store.Cond{is(attrState, r.Text(attrState))}
	switch kind, _ := kindOf(x.key); {
	case kind == kindManifest && r.Text(attrState) == stateStaged:
		return m.StageLease, state
	case kind == kindManifest && r.Text(attrState) == stateUndoing:
		return m.UndoWindow, state
	case kind == kindSession, kind == kindDirect:
		return m.UploadTTL, state
	case kind == kindTombstone:
		return m.TombstoneDelay, []store.Cond{exists()}
	case kind == kindHistory:
		return m.History, []store.Cond{exists()}
	case kind == kindRepository && r.Text(attrState) == stateClosing:
		return m.CloseGrace, state
	case kind == kindTag && r.Has(attrExpires):
		return 0, []store.Cond{equals(attrExpires, r.Num(attrExpires))}
	}
	return 0, nil
}
