// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"tare/internal/oci"
	"tare/internal/refcount"
)

// undelete brings a deleted manifest back, or what a tag that was taken away pointed to.
func (o *operator) undelete(ctx context.Context, what order) (report, error) {
	repo, ref, err := parseTarget(what.Target)
	if err != nil {
		return report{}, err
	}
	var back refcount.Restored
	if ref.Digest != "" {
		back, err = o.ledger.Undelete(ctx, repo, ref.Digest)
	} else {
		back, err = o.ledger.UndeleteTag(ctx, repo, ref.Tag)
	}
	if err != nil {
		return report{}, err
	}
	o.log.Info("Something was brought back.", "target", what.Target, "manifests", len(back.Manifests), "tags", len(back.Tags), "lost", len(back.Lost))
	return report{Undeleted: &back}, nil
}

// explain tells why something is in a repository, or when and why it goes.
func (o *operator) explain(ctx context.Context, what order) (report, error) {
	repo, ref, err := parseTarget(what.Target)
	if err != nil {
		return report{}, err
	}
	var found refcount.Explanation
	if ref.Digest != "" {
		found, err = o.ledger.Explain(ctx, ref.Digest, []oci.Repository{repo}, func(int) {})
	} else {
		found, err = o.ledger.ExplainTag(ctx, repo, ref.Tag, func(int) {})
	}
	if err != nil {
		return report{}, err
	}
	r := report{Explained: &found}
	if found.Nowhere() {
		r.Note = "it is nowhere in " + string(repo) + ": it was never pushed there, or it went for good"
	}
	return r, nil
}

// parseTarget takes apart what a person names: repository:tag or repository@digest.
func parseTarget(s string) (oci.Repository, oci.Reference, error) {
	name, reference, ok := oci.CutTarget(s)
	if !ok {
		return "", oci.Reference{}, fmt.Errorf(`"target" is %q, neither repository:tag nor repository@digest`, s)
	}
	repo, err := oci.ParseRepository(name)
	if err != nil {
		return "", oci.Reference{}, err
	}
	ref, err := oci.ParseReference(reference)
	return repo, ref, err
}
