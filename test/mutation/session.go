// SPDX-License-Identifier: Apache-2.0

package main

const (
	sessionFile   = "internal/refcount/session.go"
	tombstoneFile = "internal/refcount/tombstone.go"
	commitFile    = "internal/refcount/commit.go"
)

// sessionFaults are those of upload sessions and tombstones, and of commits as such.
func sessionFaults() []fault {
	return []fault{
		{
			name: "write-over-another-write", invariant: "C1", file: sessionFile,
			from: "t.put(sessionKey(s.ID), r, s.asRead()...)",
			to:   "t.put(sessionKey(s.ID), r)",
			why:  "a request that was overtaken writes its session back, and with it an object that was given up",
		},
		{
			name: "touch-is-too-short", invariant: "C10", file: sessionFile,
			from: "due(now.Add(m.UploadTTL)),",
			to:   "due(now.Add(m.MaxPut)),",
			why:  "an upload ends before its time",
		},
		{
			name: "expiry-of-a-touched-session", invariant: "C10", file: sessionFile,
			from: "is(attrVersion, r.Text(attrVersion)), atMost(attrDue, now.UnixMilli()))",
			to:   "exists())",
			why:  "the session is touched between the reads and the commit",
		},
		{
			name: "expiry-buries-nothing", invariant: "C1", file: sessionFile,
			from: "s.l.buryOwned(&t, now, sessionOwns(r), r.Num(attrOffset)-r.Num(attrTailSize), whyExpired)",
			to:   "_ = now",
			why:  "the object of an upload that ended is nobody's",
		},
		{
			name: "cancel-over-a-writer", invariant: "C1", file: sessionFile,
			from: "2*l.cfg.Margins.Skew))), s.asRead()...)",
			to:   "2*l.cfg.Margins.Skew))))",
			why:  "a request names another object between the reads and the commit, and it is nobody's",
		},
		{
			name: "restart-buries-nothing", invariant: "C1", file: sessionFile,
			from: "l.buryOwned(&t, now, s.named.without(next.named.objects[:]...), 0, whyRestarted)",
			to:   "_ = now",
			why:  "the object that an upload gave up is nobody's",
		},
		{
			name: "pieces-left-behind", invariant: "C1", file: sessionFile,
			from: "range o.objects[1:] {",
			to:   "range o.objects[3:] {",
			why:  "what an upload gathered is nobody's when it ends",
		},
		{
			name: "tombstone-without-a-due", invariant: "C6", file: tombstoneFile,
			from: ", due(now.Add(l.cfg.Margins.TombstoneDelay)),",
			to:   ",",
			why:  "its object is never deleted",
		},
		{
			name: "tombstone-goes-before-its-object", invariant: "C1", file: tombstoneFile,
			from: `	if err := l.objects.Delete(ctx, object); err != nil {
		return err
	}
	var t txn
	t.remove(tombstoneKey(object), is(attrVersion, r.Text(attrVersion)))
	if err := l.apply(ctx, now, &t); err != nil {
		return err
	}
`,
			to: `	var t txn
	t.remove(tombstoneKey(object), is(attrVersion, r.Text(attrVersion)))
	if err := l.apply(ctx, now, &t); err != nil {
		return err
	}
	if err := l.objects.Delete(ctx, object); err != nil {
		return err
	}
`,
			why: "the sweep dies in between, and nobody knows of the object",
		},
		{
			name: "object-goes-before-its-parts", invariant: "C5", file: tombstoneFile,
			from: `	if r.Has(attrMultipart) {
		pending, err := l.parts.Pending(ctx, object)
		if err != nil {
			return err
		}
		for _, p := range pending {
			if p.Key != object {
				continue
			}
			if err := l.parts.Abort(ctx, p.Key, p.ID); err != nil {
				return err
			}
		}
	}
	if err := l.objects.Delete(ctx, object); err != nil {
		return err
	}
`,
			to: `	if err := l.objects.Delete(ctx, object); err != nil {
		return err
	}
	if r.Has(attrMultipart) {
		pending, err := l.parts.Pending(ctx, object)
		if err != nil {
			return err
		}
		for _, p := range pending {
			if p.Key != object {
				continue
			}
			if err := l.parts.Abort(ctx, p.Key, p.ID); err != nil {
				return err
			}
		}
	}
`,
			why: "a late completion makes the object again when it has been deleted",
		},
		{
			name: "margins-given-up-for-writers", invariant: "C1", file: tombstoneFile,
			from: "case whyBlob, whyLost:",
			to:   "case whyBlob, whyLost, whyRestarted, whyManifest:",
			why:  "a put that is under way lands when its tombstone has gone",
		},
		{
			name: "clock-readings-of-any-age", invariant: "C4", file: commitFile,
			from: ", Before: now.Add(l.cfg.Margins.MaxStep)}",
			to:   "}",
			why:  "a process that slept writes a due that has passed, and the sweep takes what a look promised",
		},
		{
			name: "another-token-after-an-unknown-outcome", invariant: "C8", file: commitFile,
			from: "\t\terr = l.table.Commit(ctx, tx)",
			to:   "\t\ttx.Token = l.cfg.NewToken()\n\t\terr = l.table.Commit(ctx, tx)",
			why:  "the transaction takes effect twice, or is refused by itself",
		},
		{
			name: "another-transaction-after-an-unknown-outcome", invariant: "C8", file: commitFile,
			from: "\t\t\tunknown = err\n",
			to:   "\t\t\treturn errAgain\n",
			why:  "it is built anew while the first one may still land",
		},
	}
}
