// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"maps"
	"slices"
	"time"

	"tare/internal/oci"
	"tare/internal/store"
)

// Push is a manifest to record, parsed and verified by the caller.
type Push struct {
	Repo         oci.Repository
	Digest       oci.Digest
	MediaType    string
	ArtifactType string
	Body         []byte
	// Links are the blobs that it needs, and Children what an index lists: manifests, or blobs where there is no such
	// manifest. They must be there.
	Links, Children []oci.Digest
	// Foreign are blobs whose bytes may stay elsewhere, and Sparse children that may be absent: those that are there when
	// the push begins are held as the others are.
	Foreign, Sparse []oci.Digest
	Subject         oci.Digest // "" for none
	Referrer        string     // what the subject's referrers list shows, as JSON; only with a Subject
	Tags            []oci.Tag  // distinct; at most MaxPushTags
	// IfMatch and IfAbsent are conditions on the one tag. An expired tag is absent.
	IfMatch  oci.Digest
	IfAbsent bool
	Expires  time.Time // of the tags; zero: never
}

// MaxPushTags bounds the tags of one push, so that they and the manifest's own rows fit a transaction.
const MaxPushTags = 10

// Push records a manifest and moves its tags in one moment (design §5). After success the manifest is visible by
// digest, tag, tag list and referrers, and everything that it holds stays for as long as it does (C3). Repeating it is
// safe; where it would change nothing it writes nothing. It returns those of Foreign and Sparse that it does not hold, each
// once: they were not there when the manifest was recorded, whatever has come since. Errors: ManifestBlobUnknown with the digest as detail; PreconditionFailed; TooLarge when its edges do not fit a
// row.
func (l *Ledger) Push(ctx context.Context, p Push) (absent []oci.Digest, err error) {
	w := &pusher{l: l, p: p, operation: l.cfg.NewToken(), at: l.clock.Now().UnixMilli(), size: int64(len(p.Body))}
	staged := false
	err = l.retry(ctx, func(now time.Time) error {
		var recorded []store.Key
		if len(p.Foreign)+len(p.Sparse) > 0 {
			recorded = []store.Key{bodyKey(p.Repo, p.Digest)}
		}
		s, err := w.look(ctx, recorded, w.sought())
		if err != nil || w.landed(s) {
			return err
		}
		w.absent = w.lacks(s.found)
		switch {
		case s.manifest.visible():
			if recorded != nil {
				if err := w.lacksBeside(s); err != nil {
					return err
				}
			}
			return w.moveTags(ctx, now, s)
		case s.manifest.there:
			staged = true
			return nil
		}
		staged, err = w.pushWhole(ctx, now, s)
		return err
	})
	if err == nil && staged {
		err = w.stage(ctx)
	}
	if err != nil {
		return nil, err
	}
	return w.absent, nil
}

// pusher is one Push under way. Its operation token and time stay the same over all attempts.
type pusher struct {
	l         *Ledger
	p         Push
	operation string
	at        int64
	size      int64  // of the body
	put       string // object that this push has put the body at
	unsure    bool   // a child may be a blob: they have to be looked at
	absent    []oci.Digest
}

// sight is what an attempt read, in one batch.
type sight struct {
	manifest   manifest
	repository store.Row
	body       store.Row // where asked for
	subject    manifest  // where the push has one
	tags       []tag
	found      map[oci.Digest]edge // of what was sought
}

// look reads all that the push depends on, extra, and what is sought.
func (w *pusher) look(ctx context.Context, extra []store.Key, sought []edge) (sight, error) {
	p := &w.p
	keys := append([]store.Key{manifestKey(p.Repo, p.Digest), repositoryKey(p.Repo)}, extra...)
	if p.Subject != "" {
		keys = append(keys, manifestKey(p.Repo, p.Subject))
	}
	first := len(keys)
	for _, name := range p.Tags {
		keys = append(keys, tagKey(p.Repo, name))
	}
	keys = append(keys, keysOf(p.Repo, sought)...)
	rows, err := w.l.read(ctx, keys...)
	if err != nil {
		return sight{}, err
	}
	s := sight{manifest: readManifest(rows[0]), repository: rows[1]}
	if len(extra) > 0 {
		s.body = rows[2]
	}
	if p.Subject != "" {
		s.subject = readManifest(rows[first-1])
	}
	rows = rows[first:]
	for i := range p.Tags {
		s.tags = append(s.tags, readTag(rows[i]))
	}
	s.found, err = w.find(ctx, sought, rows[len(p.Tags):])
	return s, err
}

// landed tells whether an earlier attempt of this push took effect although its reply was lost: its tags are its own.
func (w *pusher) landed(s sight) bool {
	for _, t := range s.tags {
		if t.version == w.operation {
			return true
		}
	}
	return false
}

// precondition compares what the client said of the tag with what is there (412).
func (w *pusher) precondition(now time.Time, s sight) error {
	for _, t := range s.tags {
		switch {
		case w.p.IfAbsent && t.live(now):
			return oci.Errorf(oci.PreconditionFailed, "the tag exists and points to %s", t.digest)
		case w.p.IfMatch != "" && !t.live(now):
			return oci.Errorf(oci.PreconditionFailed, "the tag does not exist")
		case w.p.IfMatch != "" && t.digest != w.p.IfMatch:
			return oci.Errorf(oci.PreconditionFailed, "the tag points to %s", t.digest)
		}
	}
	return nil
}

// edges decides what the manifest holds, from what was found. Once a body row has recorded it, that row decides.
func (w *pusher) edges(found map[oci.Digest]edge) ([]edge, error) {
	var es []edge
	for _, d := range w.p.Links {
		es = append(es, edge{false, d})
	}
	for _, d := range w.p.Children {
		e, there := found[d]
		switch {
		case there:
			es = append(es, e)
		case w.unsure:
			return nil, blobMissing(d)
		default:
			es = append(es, edge{true, d})
		}
	}
	for _, list := range [][]oci.Digest{w.p.Foreign, w.p.Sparse} {
		for _, d := range list {
			if e, there := found[d]; there {
				es = append(es, e)
			}
		}
	}
	es = ordered(es)
	bytes := 0
	for _, e := range es {
		bytes += EdgeBytes(e.digest)
	}
	if bytes > MaxEdgeBytes {
		return nil, oci.Errorf(oci.TooLarge, "the manifest references %d blobs and manifests; the limit is 10,000 with sha256 digests and 5,000 with sha512", len(es))
	}
	return es, nil
}

// moveTags points the push's tags to a manifest that is visible already.
func (w *pusher) moveTags(ctx context.Context, now time.Time, s sight) error {
	if err := w.precondition(now, s); err != nil {
		return err
	}
	moved := false
	for _, t := range s.tags {
		moved = moved || !w.names(now, t)
	}
	switch {
	case !moved && s.subject.cascade:
		return w.outlive(ctx, now, s)
	case !moved:
		return w.l.renewManifest(ctx, now, w.p.Repo, w.p.Digest, s.manifest)
	}
	// The first push said what the bytes are; the answers by tag and by digest must not differ.
	w.p.MediaType = s.manifest.mediaType
	pub := w.publish(now, s)
	own := pub.tally.of(w.p.Digest)
	own.child = true
	if s.subject.cascade { // see outlive
		own.pushed = w.moment(now, s)
	}
	pub.addManifests(w.l, now, w.p.Repo)
	return pub.judge(w.l.commit(ctx, now, &pub.txn), s)
}

// outlive records that a referrer was pushed again after its subject was deleted, while the referrers that were there
// before have still to go: it is not one of them.
func (w *pusher) outlive(ctx context.Context, now time.Time, s sight) error {
	m := s.manifest
	c := change{set: []store.Attr{num(attrPushed, w.moment(now, s))}}
	if m.due != 0 {
		c.set = append(c.set, num(attrDue, max(m.due, now.Add(w.l.cfg.Margins.Grace).UnixMilli())))
	}
	var t txn
	t.update(manifestKey(w.p.Repo, w.p.Digest), c, m.asRead()...)
	return w.l.apply(ctx, now, &t)
}

// moment is when the manifest was pushed: after the deletion of a subject whose referrers have still to go, whatever the clocks
// of the two say, so that it is none of them.
func (w *pusher) moment(now time.Time, s sight) int64 {
	if s.subject.cascade {
		return max(now.UnixMilli(), s.subject.deleted+1)
	}
	return now.UnixMilli()
}

// names tells whether the tag is already what this push would make it.
func (w *pusher) names(now time.Time, t tag) bool {
	return t.live(now) && t.digest == w.p.Digest && t.expires == 0 && w.p.Expires.IsZero()
}

// pushWhole pushes a manifest that is not there in one transaction, or says that it must be staged: it holds too much
// for one, or its body needs an object.
func (w *pusher) pushWhole(ctx context.Context, now time.Time, s sight) (stage bool, err error) {
	if err := w.precondition(now, s); err != nil {
		return false, err
	}
	es, err := w.edges(s.found)
	if err != nil {
		return false, err
	}
	if len(w.p.Body) > MaxInlineBody || len(es) >= store.MaxOps {
		return true, nil
	}
	pub := w.publish(now, s)
	own := pub.tally.of(w.p.Digest).tags
	delete(pub.tally, w.p.Digest)
	mk, bk := manifestKey(w.p.Repo, w.p.Digest), bodyKey(w.p.Repo, w.p.Digest)
	held := w.l.cfg.NewToken()
	pub.put(mk, w.manifestRow(now, w.moment(now, s), stateVisible, held, int64(len(es)), own), absent())
	pub.put(bk, bodyRow(data(attrBody, string(w.p.Body)), es, held), absent())
	pub.hold(w.p.Repo, es)
	pub.addManifests(w.l, now, w.p.Repo)
	if len(pub.ops) > store.MaxOps {
		return true, nil
	}
	err = pub.judge(w.l.commit(ctx, now, &pub.txn), s)
	if oci.CodeOf(err) == oci.ManifestBlobUnknown && len(w.p.Children) > 0 && !w.unsure {
		w.unsure = true
		return false, errAgain
	}
	return false, err
}

// manifestRow makes the row of a manifest that was not there.
func (w *pusher) manifestRow(now time.Time, pushed int64, state, held string, cursor, tags int64) store.Row {
	p, k := &w.p, manifestKey(w.p.Repo, w.p.Digest)
	attrs := []store.Attr{
		text(attrState, state), text(attrVersion, w.l.cfg.NewToken()), text(attrMediaType, p.MediaType),
		num(attrSize, w.size), text(attrArtifact, p.ArtifactType), text(attrSubject, string(p.Subject)),
		num(attrPushed, pushed), num(attrCursor, cursor), num(attrTags, tags), num(attrParents, 0),
		text(attrHeld, held),
	}
	if tags == 0 {
		attrs = append(attrs, num(attrUntagged, now.UnixMilli()))
	}
	switch {
	case state == stateStaged:
		attrs = append(attrs, due(now.Add(w.l.cfg.Margins.StageLease)))
	case tags == 0 && w.l.cfg.Margins.Untagged > 0:
		attrs = append(attrs, due(now.Add(w.l.untaggedAfter())))
	}
	return row(k, attrs...)
}

// publication is a transaction that makes a manifest visible under its tags, with the indexes that tell what a refusal
// of it means.
type publication struct {
	txn
	tally    tally
	receipts []int
	links    map[int]oci.Digest
}

// publish begins the transaction with all that is the same for every push: the tags, the referrer and the repository.
func (w *pusher) publish(now time.Time, s sight) *publication {
	p := &w.p
	pub := &publication{tally: tally{}, links: map[int]oci.Digest{}}
	for i, name := range p.Tags {
		if s.manifest.visible() && w.names(now, s.tags[i]) {
			continue
		}
		mv := move{name, w.operation, w.at}
		pub.receipts = append(pub.receipts,
			mv.point(w.l, &pub.txn, pub.tally, p.Repo, s.tags[i], p.Digest, p.MediaType, w.size, p.Expires))
	}
	if p.Subject != "" && !s.manifest.visible() {
		pub.put(referrerKey(p.Repo, p.Subject, p.ArtifactType, p.Digest), plainRow(text(attrReferrer, p.Referrer)))
	}
	w.l.openRepository(&pub.txn, now, p.Repo, s.repository)
	return pub
}

// hold adds one reference to each edge: to links at once, to children in the tally.
func (pub *publication) hold(repo oci.Repository, es []edge) {
	for _, e := range es {
		if e.child {
			dt := pub.tally.of(e.digest)
			dt.parents++
			dt.child = true
			continue
		}
		op := pub.update(e.key(repo), change{add: []store.Attr{num(attrRefs, 1)}, remove: []string{attrCounting, attrDue}}, exists())
		pub.links[op] = e.digest
	}
}

// addManifests adds the operations of the tally, in the order of digests so that a trace is the same every time.
func (pub *publication) addManifests(l *Ledger, now time.Time, repo oci.Repository) {
	for _, d := range slices.Sorted(maps.Keys(pub.tally)) {
		dt := pub.tally[d]
		dt.add(l, &pub.txn, now, repo, d)
		if dt.parents > 0 {
			pub.links[dt.op] = d
		}
	}
}

// judge says what a refusal means. They come together, and our own receipt counts first: else a client would get 412 for
// its own success.
func (pub *publication) judge(err error, s sight) error {
	c := refused(err)
	if c == nil {
		return err
	}
	for _, op := range pub.receipts {
		if c.Refused(op) {
			return nil
		}
	}
	if d := pub.missing(c); d != "" {
		if _, there := s.found[d]; !there {
			return blobMissing(d)
		}
	}
	return errAgain
}

// missing returns an edge that was refused, because nothing is there, or "".
func (pub *publication) missing(c *store.Conflict) oci.Digest {
	for _, f := range c.Failed {
		if d, ok := pub.links[f.Op]; ok {
			return d
		}
	}
	return ""
}

func blobMissing(d oci.Digest) error {
	return &oci.Error{
		Code:    oci.ManifestBlobUnknown,
		Message: "the manifest references " + string(d) + ", which is not in this repository",
		Detail:  map[string]string{"digest": string(d)},
	}
}
