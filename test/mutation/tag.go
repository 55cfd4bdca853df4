// SPDX-License-Identifier: Apache-2.0

package main

const (
	tagFile        = "internal/refcount/tag.go"
	repositoryFile = "internal/refcount/repository.go"
)

// tagFaults are those of names: of tags and of repositories.
func tagFaults() []fault {
	return []fault{
		{
			name: "tag-over-another-move", invariant: "C7", file: tagFile,
			from: "t.put(k, row(k, attrs...), old.asRead())",
			to:   "t.put(k, row(k, attrs...))",
			why:  "two move a tag at once, and the manifest of one counts a tag that it has not",
		},
		{
			name: "tag-leaves-its-count", invariant: "C7", file: tagFile,
			from: "ts.of(old.digest).tags--",
			to:   "ts.of(old.digest)",
			why:  "the manifest that a tag pointed to counts it for ever",
		},
		{
			name: "untag-of-another-move", invariant: "C7", file: tagFile,
			from: "append(conds, is(attrVersion, old.version))...",
			to:   "conds...",
			why:  "the tag moves between the reads and the commit, and goes",
		},
		{
			name: "tags-of-one-version", invariant: "C7", file: tagFile,
			from: "text(attrVersion, mv.operation), num(attrPushed, mv.at),",
			to:   `text(attrVersion, "1"), num(attrPushed, mv.at),`,
			why:  "a tag that moved looks as it was read",
		},
		{
			name: "deletion-takes-a-tag-that-moved", invariant: "C7", file: deleteFile,
			from: `, is(attrDigest, string(r.digest)))
	t.put(tagOfKey(r.repo, r.digest, nt.name), plainRow(text(attrGone, r.deletion)), exists())`,
			to: `)
	t.put(tagOfKey(r.repo, r.digest, nt.name), plainRow(text(attrGone, r.deletion)))`,
			why: "a tag of many moves to another manifest between the reads and the commit, and goes",
		},
		{
			name: "receipt-is-written-again", invariant: "C8", file: tagFile,
			from: "due(fromMilli(mv.at).Add(l.cfg.Margins.History))), absent())",
			to:   "due(fromMilli(mv.at).Add(l.cfg.Margins.History))))",
			why:  "a move whose outcome was unknown lands when it was made again, and undone",
		},
		{
			name: "repository-goes-at-once", invariant: "C11", file: repositoryFile,
			from: "case r.Text(attrState) != stateClosing:",
			to:   "case r == nil:",
			why:  "a push that read the row commits when it has gone",
		},
		{
			name: "repository-is-not-looked-at-again", invariant: "C11", file: repositoryFile,
			from: "case !empty:",
			to:   "case !empty && r.Text(attrState) != stateClosing:",
			why:  "a push that read the row before it was closing has committed",
		},
		{
			name: "push-leaves-the-repository-closing", invariant: "C11", file: repositoryFile,
			from: "case r.Text(attrState) == stateClosing:",
			to:   "case r.Text(attrState) == stateClosed:",
			why:  "the row goes when the push has committed",
		},
		{
			name: "repository-goes-though-opened", invariant: "C11", file: repositoryFile,
			from: "t.remove(k, asRead)",
			to:   "t.remove(k, exists())",
			why:  "a push opens the row between the reads and the commit",
		},
		{
			name: "repository-is-put-back-as-it-was", invariant: "C11", file: repositoryFile,
			from: "text(attrState, stateOpen), text(attrVersion, s.l.cfg.NewToken())}, remove:",
			to:   "text(attrState, stateOpen)}, remove:",
			why:  "a removal that looked before something arrived finds the row as it was",
		},
		{
			name: "repository-is-not-looked-at", invariant: "C5", file: linkFile,
			from: "l.lookAtRepository(t, now, repo, rows[2])",
			to:   "_ = repo",
			why:  "the row of an empty repository stays for ever",
		},
	}
}
