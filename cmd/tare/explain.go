// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"
)

// explainCmd tells why something is there, or goes.
type explainCmd struct {
	folderFlags

	Target string `arg:"" help:"A digest, repository:tag or repository@digest." placeholder:"TARGET"`
	JSON   bool   `name:"json" help:"Print one JSON object." env:"-"`
}

// explainRequest names a tag, or a digest in one repository or in all ("").
type explainRequest struct {
	Repository string `json:"repository"`
	Reference  string `json:"reference"`
}

// explainLine is news of a search: one of the fields is set.
type explainLine struct {
	Bodies int                   `json:"bodies,omitempty"` // that were read so far
	Found  *refcount.Explanation `json:"found,omitempty"`
}

// Run asks and prints what is known. What is nowhere is a failure.
func (cmd *explainCmd) Run(ctx context.Context, c *console) (err error) {
	request := explainRequest{Reference: cmd.Target}
	if _, err := oci.ParseDigest(cmd.Target); err != nil {
		target, err := parseTarget(cmd.Target)
		if err != nil {
			return usageError{fmt.Errorf("%w, nor a digest", err)}
		}
		request = explainRequest(target)
	}
	admin, err := openAdministration(ctx, c, cmd.folderFlags)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.Close()) }()
	var found refcount.Explanation
	p := newProgress(c)
	err = admin.explain(ctx, request, func(line explainLine) error {
		p.show("%d manifests read", line.Bodies)
		if line.Found != nil {
			found = *line.Found
		}
		return nil
	})
	p.end()
	if err != nil {
		return err
	}
	if cmd.JSON {
		lines := json.NewEncoder(c.out)
		lines.SetIndent("", "  ")
		err = lines.Encode(found)
	} else {
		printExplanation(c.out, found, c.clock.Now())
	}
	if err == nil && found.Nowhere() {
		err = fmt.Errorf("%s is nowhere: it was never pushed, or it went for good", cmd.Target)
	}
	return err
}

// explain looks a digest or a tag up.
func (o *operator) explain(ctx context.Context, r explainRequest, line func(explainLine) error) error {
	ref, err := oci.ParseReference(r.Reference)
	if err != nil {
		return err
	}
	var repos []oci.Repository
	if r.Repository != "" {
		repo, err := oci.ParseRepository(r.Repository)
		if err != nil {
			return err
		}
		repos = []oci.Repository{repo}
	} else if repos, err = o.repositories(ctx); err != nil {
		return err
	}
	var failed error
	progress := func(bodies int) {
		if failed == nil {
			failed = line(explainLine{Bodies: bodies})
		}
	}
	var found refcount.Explanation
	if ref.Digest != "" {
		found, err = o.ledger.Explain(ctx, ref.Digest, repos, progress)
	} else {
		found, err = o.ledger.ExplainTag(ctx, repos[0], ref.Tag, progress)
	}
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	return line(explainLine{Found: &found})
}

func printExplanation(w io.Writer, x refcount.Explanation, now time.Time) {
	if t := x.Tag; t != nil {
		printTag(w, *t, now)
	}
	for _, m := range x.Manifests {
		printManifest(w, m, x.Digest, now)
	}
	for _, l := range x.Links {
		fmt.Fprintf(w, "The blob %s in %s %s.\n", x.Digest, l.Repository, tellFate(l.Fate, now))
		if l.References > 1 {
			printList(w, "listed by", l.References, l.Manifests)
		}
	}
	if b := x.Blob; b != nil {
		where := "the object " + b.Object
		if b.Inline {
			where = "the table"
		}
		fmt.Fprintf(w, "Its bytes (%v, in %s): %s.\n", size(b.Size), where, tellBytes(*b, now))
	}
}

func tellBytes(b refcount.ExplainedBlob, now time.Time) string {
	if b.Stays {
		return "they stay: " + b.Why
	}
	return fmt.Sprintf("they are freed in %s, at %s: %s", wait(b.Freed.Sub(now)), b.Freed.Format(time.RFC3339), b.Why)
}

func printTag(w io.Writer, t refcount.ExplainedTag, now time.Time) {
	name := fmt.Sprintf("%s:%s", t.Repository, t.Name)
	at := t.Moved.Format(time.RFC3339)
	switch {
	case t.There && !t.Expires.IsZero():
		fmt.Fprintf(w, "The tag %s points to %s since %s, and expires in %s, at %s.\n", name, t.Digest, at, wait(t.Expires.Sub(now)), t.Expires.Format(time.RFC3339))
	case t.There:
		fmt.Fprintf(w, "The tag %s points to %s since %s.\n", name, t.Digest, at)
	case t.Digest != "":
		fmt.Fprintf(w, "The tag %s was taken away, or expired, at %s. It pointed to %s; tare undelete %s may bring it back.\n", name, at, t.Digest, name)
	}
}

func printManifest(w io.Writer, m refcount.ExplainedManifest, d oci.Digest, now time.Time) {
	name := fmt.Sprintf("%s@%s", m.Repository, d)
	fmt.Fprintf(w, "The manifest %s %s.\n", name, tellFate(m.Fate, now))
	if !m.Deleted.IsZero() {
		fmt.Fprintf(w, "    deleted at %s\n", m.Deleted.Format(time.RFC3339))
	}
	if m.Undelete.After(now) {
		fmt.Fprintf(w, "    tare undelete %s brings it back until %s\n", name, m.Undelete.Format(time.RFC3339))
	}
	printList(w, "tags", int64(len(m.Tags)), m.Tags)
	printList(w, "listed by", int64(len(m.Parents)), m.Parents)
	if m.Subject != "" {
		fmt.Fprintf(w, "    refers to %s\n", m.Subject)
	}
	if m.Referrers > 0 {
		fmt.Fprintf(w, "    %d manifests refer to it\n", m.Referrers)
	}
}

func printList[T ~string](w io.Writer, what string, n int64, names []T) {
	if len(names) == 0 {
		return
	}
	const most = 10
	parts := make([]string, 0, most)
	for _, name := range names[:min(len(names), most)] {
		parts = append(parts, string(name))
	}
	if more := n - int64(len(parts)); more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	fmt.Fprintf(w, "    %s: %s\n", what, strings.Join(parts, ", "))
}

func tellFate(f refcount.Fate, now time.Time) string {
	switch {
	case f.Stays:
		return "stays: " + f.Why
	case f.Until.IsZero():
		return "goes: " + f.Why
	case !f.Until.After(now):
		return "goes with the next sweep: " + f.Why
	}
	return fmt.Sprintf("goes in %s, at %s: %s", wait(f.Until.Sub(now)), f.Until.Format(time.RFC3339), f.Why)
}
