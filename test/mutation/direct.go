// SPDX-License-Identifier: Apache-2.0

package main

const (
	directFile       = "internal/refcount/direct.go"
	settleFile       = "internal/upload/settle.go"
	completeFile     = "internal/upload/complete.go"
	directUploadFile = "internal/upload/direct.go"
	directTicketFile = "internal/upload/direct_ticket.go"
)

// directFaults are those of direct uploads.
func directFaults() []fault {
	return []fault{
		{
			name: "direct-finish-of-an-upload-that-ended", invariant: "C1", file: directFile,
			from: "t.remove(k, append(x.asRead(), equals(attrDue, rows[2].Num(attrDue)))...)",
			to:   "t.remove(k)",
			why:  "it is canceled between the reads and the commit, and blob and tombstone own its object",
		},
		{
			name: "direct-loser-is-nobodys", invariant: "C1", file: directFile,
			from: "if object != x.Object {",
			to:   "if object == \"\" {",
			why:  "the object of the second upload of a blob has no owner",
		},
		{
			name: "direct-expiry-of-a-touched-upload", invariant: "C10", file: directFile,
			from: "append(x.asRead(), atMost(attrDue, now.UnixMilli()))...)",
			to:   "x.asRead()...)",
			why:  "URLs are given out between the reads and the commit",
		},
		{
			name: "direct-touch-of-an-upload-that-ended", invariant: "C1", file: directFile,
			from: "is(attrState, stateOpen), atMost(attrDue, fresh.UnixMilli()))",
			to:   "atMost(attrDue, fresh.UnixMilli()))",
			why:  "URLs are given out for what was rejected or is being verified",
		},
		{
			name: "direct-touch-is-ignored", invariant: "C10", file: directUploadFile,
			from: "return signed, u.ledger.TouchDirect(ctx, x)",
			to:   "return signed, nil",
			why:  "an upload ends while its client has URLs that are good",
		},
		{
			name: "direct-write-over-another", invariant: "C8", file: directFile,
			from: "next.row(due(now.Add(l.cfg.Margins.UploadTTL))), x.asRead()...)",
			to:   "next.row(due(now.Add(l.cfg.Margins.UploadTTL))))",
			why:  "what was canceled comes back",
		},
		{
			name: "direct-cancel-over-another", invariant: "C1", file: directFile,
			from: "t.put(directKey(x.Object), next.row(due(stays)), x.asRead()...)",
			to:   "t.put(directKey(x.Object), next.row(due(stays)))",
			why:  "it is finished between the reads and the commit, and blob and tombstone own its object",
		},
		{
			name: "direct-late-put-forgotten", invariant: "C1", file: directFile,
			from: "		late := l.late(rows[2])",
			to:   "		late := l.late(rows[2]) * 0",
			why:  "a sweep that gives the margins up deletes an object that a URL can still make again",
		},
		{
			name: "direct-content-is-believed", invariant: "C3", file: settleFile,
			from: "if !is(v.hash, v.x.Digest) {",
			to:   "if false {",
			why:  "other bytes are served under the digest",
		},
		{
			name: "direct-size-is-believed", invariant: "C3", file: completeFile,
			from: "case size != x.Size:",
			to:   "case size > x.Size:",
			why:  "fewer bytes are a blob, or are read for ever",
		},
		{
			name: "direct-settle-takes-a-leased-upload", invariant: "C8", file: settleFile,
			from: "|| x.Lease.After(u.clock.Now()) {",
			to:   "|| x.Lease.After(u.clock.Now()) && false {",
			why:  "duplicate events hash twice",
		},
		{
			name: "direct-hash-begins-anew", invariant: "C5", file: settleFile,
			from: "v.x.Hash = marshal(v.hash)",
			to:   "v.x.Hash = \"\"",
			why:  "an object that one call cannot finish is never finished",
		},
		{
			name: "direct-missing-part-is-not-missed", invariant: "C3", file: completeFile,
			from: "		if !there[number] {",
			to:   "		if false {",
			why:  "the client is told that its bytes are wrong, and cannot resume",
		},
		{
			name: "direct-id-of-any-repository", invariant: "C4", file: directTicketFile,
			from: "hmac.Equal(mac, sign(directKey(key, algorithm), signed, repo))",
			to:   "hmac.Equal(mac, mac)",
			why:  "an id that nobody signed is good",
		},
	}
}
