// SPDX-License-Identifier: Apache-2.0

package main

const (
	pushFile     = "internal/refcount/push.go"
	stageFile    = "internal/refcount/stage.go"
	deleteFile   = "internal/refcount/delete.go"
	undeleteFile = "internal/refcount/undelete.go"
	manifestFile = "internal/refcount/manifest.go"
)

// manifestFaults are those of pushes, stages and deletions of manifests.
func manifestFaults() []fault {
	return []fault{
		{
			name: "push-over-another-push", invariant: "C2", file: pushFile,
			from: `int64(len(es)), own), absent())
	pub.put(bk, bodyRow(data(attrBody, string(w.p.Body)), es, held), absent())`,
			to: `int64(len(es)), own))
	pub.put(bk, bodyRow(data(attrBody, string(w.p.Body)), es, held))`,
			why: "two push one manifest at once, and its references are counted twice",
		},
		{
			name: "reference-to-what-went", invariant: "C3", file: pushFile,
			from: "remove: []string{attrCounting, attrDue}}, exists())",
			to:   "remove: []string{attrCounting, attrDue}})",
			why:  "the sweep takes the link first, and the manifest is without its blob",
		},
		{
			name: "child-counts-twice", invariant: "C2", file: pushFile,
			from: "dt.parents++",
			to:   "dt.parents += 2",
			why:  "the child can never be deleted",
		},
		{
			name: "child-that-went", invariant: "C3", file: manifestFile,
			from: "conds = append(conds, is(attrState, stateVisible))",
			to:   "conds = append(conds, exists())",
			why:  "a manifest that is on its way out gets a parent, or a tag",
		},
		{
			name: "versions-begin-again", invariant: "C8", file: pushFile,
			from: "text(attrVersion, w.l.cfg.NewToken()), text(attrMediaType, p.MediaType),",
			to:   `text(attrVersion, "1"), text(attrMediaType, p.MediaType),`,
			why:  "a deletion that is repeated takes the manifest that was pushed after it",
		},
		{
			name: "body-of-another-moment", invariant: "C2", file: manifestFile,
			from: "if r == nil || r.Text(attrVersion) != m.held {",
			to:   "if r == nil {",
			why:  "the cursor counts along the edges of another body",
		},
		{
			name: "flip-of-a-stage-that-was-given-up", invariant: "C3", file: stageFile,
			from: "append(s.manifest.asRead(), equals(attrCursor, int64(edges)))...)",
			to:   "is(attrState, stateStaged))",
			why:  "the sweep takes references back and another push turns it round before the flip",
		},
		{
			name: "batch-of-any-cursor", invariant: "C2", file: stageFile,
			from: "append(m.asRead(), equals(attrCursor, m.cursor))...)\n\tpub.hold(",
			to:   "m.asRead()...)\n\tpub.hold(",
			why:  "two push one stage at once, and references are counted twice",
		},
		{
			name: "forget-at-any-cursor", invariant: "C2", file: stageFile,
			from: "append(m.asRead(), equals(attrCursor, m.cursor))...)\n\tt.update(bodyKey",
			to:   "m.asRead()...)\n\tt.update(bodyKey",
			why:  "another push has taken the edge meanwhile, and it goes out of the list with its reference counted",
		},
		{
			name: "late-put-of-a-body", invariant: "C1", file: stageFile,
			from: "if w.l.clock.Now().Sub(now) > w.l.cfg.Margins.MaxStep {",
			to:   "if w.put != \"\" {",
			why:  "a process that slept puts the object when its tombstone has gone",
		},
		{
			name: "deletion-of-another-push", invariant: "C8", file: deleteFile,
			from: "(!m.visible() || m.version != r.version)",
			to:   "!m.visible()",
			why:  "a deletion that is repeated takes the manifest that was pushed after it",
		},
		{
			name: "deletion-of-any-tags", invariant: "C7", file: deleteFile,
			from: "append(m.asRead(), equals(attrTags, tags), equals(attrParents, 0))",
			to:   "append(m.asRead(), equals(attrParents, 0))",
			why:  "a tag that comes between the reads and the commit points to nothing",
		},
		{
			name: "deletion-of-any-parents", invariant: "C3", file: deleteFile,
			from: "append(m.asRead(), equals(attrTags, tags), equals(attrParents, 0))",
			to:   "append(m.asRead(), equals(attrTags, tags))",
			why:  "an index that comes between the reads and the commit lists what is not there",
		},
		{
			name: "deletion-in-any-state", invariant: "C2", file: deleteFile,
			from: "append(m.asRead(), equals(attrTags, tags), equals(attrParents, 0))",
			to:   "append([]store.Cond{}, equals(attrTags, tags), equals(attrParents, 0))",
			why:  "two delete one manifest at once, and its references are given back twice",
		},
		{
			name: "deletion-forgets-its-edges", invariant: "C2", file: deleteFile,
			from: "\tcursor := m.cursor\n",
			to:   "\tcursor := int64(0)\n",
			why:  "a wide manifest gives nothing back",
		},
		{
			name: "deletion-is-seen", invariant: "C3", file: deleteFile,
			from: "text(attrState, stateUndoing), text(attrVersion, l.cfg.NewToken()), num(attrCursor, cursor)",
			to:   "text(attrState, m.state), text(attrVersion, l.cfg.NewToken()), num(attrCursor, cursor)",
			why:  "readers find a manifest whose references were given back",
		},
		{
			name: "given-back-without-grace", invariant: "C4", file: deleteFile,
			from: "rows[i].Num(attrRefs), now.Add(l.cfg.Margins.Grace))",
			to:   "rows[i].Num(attrRefs), now)",
			why:  "a blob that a look saw in use goes before its lease has ended",
		},
		{
			name: "unwinding-at-any-cursor", invariant: "C2", file: deleteFile,
			from: "append(m.asRead(), equals(attrCursor, m.cursor))...)",
			to:   "m.asRead()...)",
			why:  "two sweeps unwind one manifest at once, and references are given back twice",
		},
		{
			name: "undelete-of-a-stage-that-was-given-up", invariant: "C3", file: undeleteFile,
			from: "append(m.asRead(), equals(attrCursor, m.cursor))...)\n\tif m.subject",
			to:   "exists())\n\tif m.subject",
			why:  "the sweep takes references back before the flip",
		},
		{
			name: "undelete-takes-a-tag", invariant: "C7", file: undeleteFile,
			from: "case s.tags[0].live(now):",
			to:   "case false:",
			why:  "a tag that was pushed since points to what was deleted",
		},
		{
			name: "cascade-of-what-came-after", invariant: "C5", file: "internal/refcount/referrer.go",
			from: "conds: []store.Cond{atMost(attrPushed, m.deleted)},",
			to:   "",
			why:  "a signature that is pushed again after its subject was deleted goes",
		},
		{
			name: "cascade-of-a-subject-that-is-back", invariant: "C5", file: deleteFile,
			from: "t.check(manifestKey(r.repo, r.subject), subject.asRead()...)",
			to:   "_ = subject",
			why:  "the subject is pushed again, and its signatures go",
		},
	}
}
