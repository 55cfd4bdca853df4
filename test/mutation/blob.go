// SPDX-License-Identifier: Apache-2.0

package main

const (
	linkFile   = "internal/refcount/link.go"
	finishFile = "internal/refcount/finish.go"
)

// blobFaults are those of links and blobs.
func blobFaults() []fault {
	return []fault{
		{
			name: "look-does-not-renew", invariant: "C4", file: linkFile,
			from: "return found.refs == 0 && found.due < l.leaseEnd(now)",
			to:   "return found.refs == 0 && found.due <= now.UnixMilli()",
			why:  "who was told of a blob finds it gone when he pushes the manifest",
		},
		{
			name: "look-forgets-skew", invariant: "C4", file: linkFile,
			from: "return now.Add(l.cfg.Margins.Lease + 2*l.cfg.Margins.Skew).UnixMilli()",
			to:   "return now.Add(l.cfg.Margins.Lease).UnixMilli()",
			why:  "a sweep whose clock is ahead takes the blob before its lease has ended",
		},
		{
			name: "look-renews-what-went", invariant: "C2", file: linkFile,
			from: ",\n\t\texists(), equals(attrRefs, 0), under(attrDue, fresh.UnixMilli()))",
			to:   ")",
			why:  "the renewal of a link that the sweep took makes a link without an object",
		},
		{
			name: "mount-of-any-object", invariant: "C2", file: linkFile,
			from: "exists(), is(attrObject, object))",
			to:   "exists())",
			why:  "the blob died and came back: the link names an object that is not the blob's",
		},
		{
			name: "mount-counts-twice", invariant: "C2", file: linkFile,
			from: "num(attrLinks, 1)",
			to:   "num(attrLinks, 2)",
			why:  "the blob never has no links, and never goes",
		},
		{
			name: "link-without-a-due", invariant: "C6", file: linkFile,
			from: "text(attrObject, object), due(dueAt))",
			to:   "text(attrObject, object))",
			why:  "a blob that no manifest takes up stays for ever",
		},
		{
			name: "last-reference-without-a-due", invariant: "C6", file: linkFile,
			from: "c.set = []store.Attr{due(dueAt)}",
			to:   "c.set = nil",
			why:  "what nothing references is never looked at",
		},
		{
			name: "decrement-trusts-its-reading", invariant: "C6", file: linkFile,
			from: "t.update(k, c, exists(), over(attr, 1))",
			to:   "t.update(k, c, exists())",
			why:  "two take the last two references at once, and neither writes the due",
		},
		{
			name: "delete-of-a-blob-in-use", invariant: "C3", file: linkFile,
			from: "l.dropLink(ctx, &t, now, repo, d, rows, equals(attrRefs, 0))",
			to:   "l.dropLink(ctx, &t, now, repo, d, rows)",
			why:  "a manifest is pushed between the reads and the commit, and its blob goes",
		},
		{
			name: "finish-of-any-session", invariant: "C1", file: finishFile,
			from: "t.remove(sessionKey(s.ID), s.asRead()...)",
			to:   "t.remove(sessionKey(s.ID))",
			why:  "the session expired, and its object is owned by a tombstone, too",
		},
		{
			name: "finish-aside-buries-nothing", invariant: "C1", file: finishFile,
			from: "l.buryOwned(&t, now, next.named, 0, whyRestarted)\n",
			to:   "_ = next.named\n",
			why:  "what an upload named before its end stays behind",
		},
		{
			name: "slower-upload-buries-nothing", invariant: "C1", file: finishFile,
			from: "l.buryOwned(&t, now, s.named.without(object), size, why)",
			to:   "_, _ = object, why",
			why:  "the object of the upload that came second is nobody's",
		},
		{
			name: "finish-leaves-the-lease", invariant: "C4", file: finishFile,
			from: "num(attrDue, max(found.due, fresh.UnixMilli()))",
			to:   "num(attrDue, found.due)",
			why:  "the upload of a blob whose link is about to go is answered 201",
		},
		{
			name: "finish-renews-what-went", invariant: "C2", file: finishFile,
			from: "fresh.UnixMilli()))}}, exists(), equals(attrRefs, 0))",
			to:   "fresh.UnixMilli()))}})",
			why:  "the renewal of a link that the sweep took makes a link without an object",
		},
		{
			name: "first-upload-is-not-the-first", invariant: "C1", file: finishFile,
			from: "text(attrObject, object), some(attrLate, late)), absent())",
			to:   "text(attrObject, object), some(attrLate, late)))",
			why:  "two repositories get a blob at once: the object of the first is nobody's",
		},
		{
			name: "sweep-of-a-renewed-link", invariant: "C4", file: finishFile,
			from: "equals(attrRefs, 0), atMost(attrDue, s.horizon.UnixMilli()))",
			to:   "equals(attrRefs, 0))",
			why:  "a look renews the link between the reads and the commit",
		},
		{
			name: "hint-of-a-link-cleared", invariant: "C6", file: finishFile,
			from: "over(attrRefs, 0))\n\t\treturn s.l.apply",
			to:   ")\n\t\treturn s.l.apply",
			why:  "the last reference goes between the reads and the commit, and its due with it",
		},
		{
			name: "hint-of-a-blob-cleared", invariant: "C6", file: finishFile,
			from: "over(attrLinks, 0))\n\t\treturn s.l.apply",
			to:   ")\n\t\treturn s.l.apply",
			why:  "the last link goes between the reads and the commit, and its due with it",
		},
		{
			name: "condemn-of-any-object", invariant: "C1", file: finishFile,
			from: "t.remove(k, equals(attrLinks, 0), is(attrObject, object))",
			to:   "t.remove(k, equals(attrLinks, 0))",
			why:  "the blob died and came back: its new object is nobody's",
		},
		{
			name: "condemn-of-a-linked-blob", invariant: "C3", file: finishFile,
			from: "t.remove(k, equals(attrLinks, 0), is(attrObject, object))",
			to:   "t.remove(k, is(attrObject, object))",
			why:  "an upload or a mount links the blob between the reads and the commit",
		},
		{
			name: "condemn-buries-nothing", invariant: "C1", file: finishFile,
			from: "s.l.bury(&t, now, tombstone{object: object, bytes: r.Num(attrSize), why: whyBlob, late: r.Num(attrLate)})",
			to:   "_ = now",
			why:  "the object of a blob that went is nobody's",
		},
		{
			name: "grace-without-slack", invariant: "C4", file: "internal/refcount/margins.go",
			from: `{"Grace", m.Grace, m.Lease + slack,`,
			to:   `{"Grace", m.Grace, m.Lease,`,
			why:  "a decrement whose clock was read before a look lands after it",
		},
		{
			name: "grave-without-slack", invariant: "C9", file: "internal/refcount/margins.go",
			from: "m.URLLife + max(m.MaxStep, m.MaxPut) + slack,",
			to:   "m.MaxPut + slack,",
			why:  "an object goes before a URL that was signed for it has ended",
		},
	}
}
