// SPDX-License-Identifier: Apache-2.0

package main

const (
	uploadFile       = "internal/upload/upload.go"
	uploadFinishFile = "internal/upload/finish.go"
	uploadWriteFile  = "internal/upload/write.go"
	bodyFile         = "internal/upload/body.go"
	gatherFile       = "internal/upload/gather.go"
	gatheredFile     = "internal/upload/finish_gathered.go"
)

// uploadFaults are those of the uploads. The content of a blob is what its digest says: that is a part of C3.
func uploadFaults() []fault {
	return []fault{
		{
			name: "restart-keeps-its-object", invariant: "C12", file: uploadFile,
			from: "\t\ts.Object = u.ledger.NewObject()\n",
			to:   "\t\tif s.Object == \"\" {\n\t\t\ts.Object = u.ledger.NewObject()\n\t\t}\n",
			why:  "the request before still writes at the object",
		},
		{
			name: "cancel-forgets-the-id", invariant: "C12", file: uploadFile,
			from: "return u.ledger.Discard(ctx, repo, t.row, t.end)",
			to:   "return u.ledger.Discard(ctx, repo, t.row, u.clock.Now())",
			why:  "an upload that was canceled comes to life again while its id is good",
		},
		{
			name: "chunk-out-of-order", invariant: "C3", file: uploadFile,
			from: "if offset >= 0 && offset != s.Offset {",
			to:   "if offset > s.Offset {",
			why:  "a chunk that comes again is in the blob twice",
		},
		{
			name: "content-of-another-digest", invariant: "C3", file: uploadFinishFile,
			from: "return st.n, is(h, d), nil",
			to:   "return st.n, true, nil",
			why:  "a blob has another content than its digest says",
		},
		{
			name: "small-content-of-another-digest", invariant: "C3", file: uploadFinishFile,
			from: "case offset <= 0 && u.inline(s, in) && matches(d, in.lead):",
			to:   "case offset <= 0 && u.inline(s, in):",
			why:  "a blob has another content than its digest says",
		},
		{
			name: "parts-of-another-digest", invariant: "C3", file: uploadFinishFile,
			from: "return s.Offset, is(h, d), nil",
			to:   "return s.Offset, true, nil",
			why:  "a blob has another content than its digest says",
		},
		{
			name: "finish-again-trusts-its-hash", invariant: "C3", file: uploadFinishFile,
			from: "the object is asked what it is.\n\t\th = nil\n",
			to:   "the object is asked what it is.\n",
			why:  "an earlier request has made the object of other bytes than this one has hashed",
		},
		{
			name: "offset-of-what-was-read", invariant: "C3", file: uploadWriteFile,
			from: "next.Offset = st.at + p.Size",
			to:   "next.Offset = st.at + max(p.Size, st.n)",
			why:  "a body broke off, and the store kept less of it: the blob has a hole",
		},
		{
			name: "hash-of-more-than-was-kept", invariant: "C3", file: uploadWriteFile,
			from: "(next.Offset <= s.Offset || n != next.Offset)",
			to:   "(next.Offset <= s.Offset || n < 0)",
			why:  "a body broke off, and the store kept less of it: the upload can never be finished",
		},
		{
			name: "upload-without-a-deadline", invariant: "C1", file: bodyFile,
			from: "if st.u.clock.Now().After(st.ends) {",
			to:   "if false {",
			why:  "a slow body lands when its tombstone has gone",
		},
		{
			name: "deadline-from-the-put", invariant: "C1", file: bodyFile,
			from: "ends: begun.Add(u.ledger.Margins().MaxPut),",
			to:   "ends: u.clock.Now().Add(u.ledger.Margins().MaxPut),",
			why:  "a process that slept between the row and the put lands when the tombstone has gone",
		},
		{
			name: "number-given-twice", invariant: "C3", file: gatherFile,
			from: "\tnext.Burnt++\n",
			to:   "\tnext.Burnt = len(next.Parts) + 1\n",
			why:  "the part of a request that was overtaken replaces one that counts",
		},
		{
			name: "tail-counts-twice", invariant: "C3", file: gatherFile,
			from: "\tnext.TailObject, next.TailSize, next.Tail = \"\", 0, \"\"\n",
			to:   "\tnext.Tail = \"\"\n",
			why:  "what was gathered is in a part, and comes again with the next one",
		},
		{
			name: "piece-over-the-tail", invariant: "C12", file: gatherFile,
			from: "next.NextTail = g.u.ledger.NewObject()",
			to:   "next.NextTail = g.u.ledger.NewObject()\n\tnext.TailObject = next.NextTail",
			why:  "what a request may still be writing is taken for what came",
		},
		{
			name: "piece-before-its-row", invariant: "C1", file: gatherFile,
			from: "\tbegun := g.u.clock.Now()\n\tif err := g.write(ctx, next); err != nil {\n\t\treturn err\n\t}\n",
			to:   "\tbegun := g.u.clock.Now()\n\tdefer func() { _ = g.write(ctx, next) }()\n",
			why:  "a piece lies at a key that no row names",
		},
		{
			name: "piece-without-a-deadline", invariant: "C1", file: gatherFile,
			from: "\tif left < 0 {",
			to:   "\tif false {",
			why:  "a process that slept between the row and the put lands when the tombstone has gone",
		},
		{
			name: "gathered-of-another-digest", invariant: "C3", file: gatheredFile,
			from: "d, g.at, is(h, d), nil)",
			to:   "d, g.at, true, nil)",
			why:  "a blob has another content than its digest says",
		},
	}
}
