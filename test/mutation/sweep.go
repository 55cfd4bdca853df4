// SPDX-License-Identifier: Apache-2.0

package main

const sweepFile = "internal/refcount/sweep.go"

// sweepFaults are those of the sweep's way with manifests, and of the sweep as such.
func sweepFaults() []fault {
	return []fault{
		{
			name: "sweep-trusts-the-index", invariant: "C10", file: sweepFile,
			from: "if r.Num(attrDue) > s.horizon.UnixMilli() {",
			to:   "if false {",
			why:  "what is not due goes",
		},
		{
			name: "drop-of-what-came-back", invariant: "C3", file: sweepFile,
			from: "append(m.asRead(), equals(attrCursor, 0), atMost(attrDue, s.horizon.UnixMilli()))",
			to:   "append([]store.Cond{}, exists())",
			why:  "an undelete brings the manifest back between the reads and the commit, and it goes",
		},
		{
			name: "drop-buries-nothing", invariant: "C1", file: sweepFile,
			from: "s.l.bury(&t, now, tombstone{object: object, bytes: m.size, why: whyManifest})",
			to:   "_ = now",
			why:  "the object of a large manifest is nobody's",
		},
		{
			name: "stage-is-given-up-though-visible", invariant: "C3", file: sweepFile,
			from: "append(m.asRead(), atMost(attrDue, now.UnixMilli()))...)",
			to:   "exists())",
			why:  "a push flips the stage between the reads and the commit, and its manifest goes",
		},
		{
			name: "due-of-a-manifest-cleared-under-a-tag", invariant: "C5", file: sweepFile,
			from: "conds = append(conds, over(attrTags, 0))",
			to:   "conds = append(conds, exists())",
			why:  "the last tag goes between the reads and the commit, and the rule never finds the manifest",
		},
		{
			name: "due-of-a-manifest-cleared-under-a-parent", invariant: "C5", file: sweepFile,
			from: "conds = append(conds, over(attrParents, 0))",
			to:   "conds = append(conds, exists())",
			why:  "the last parent goes between the reads and the commit, and the rule never finds the manifest",
		},
		{
			name: "rule-takes-what-was-renewed", invariant: "C4", file: sweepFile,
			from: "conds: []store.Cond{atMost(attrDue, now.UnixMilli())},",
			to:   "",
			why:  "a look renews the manifest between the reads and the commit, and it goes",
		},
	}
}
