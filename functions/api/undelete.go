// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	"tare/internal/oci"
	"tare/internal/refcount"
)

// undeleted is what came back, and what did not.
type undeleted struct {
	Manifests []oci.Digest `json:"manifests,omitempty"`
	Tags      []oci.Tag    `json:"tags,omitempty"`
	Lost      []lost       `json:"lost,omitempty"`
}

// lost is a tag or a manifest that did not come back.
type lost struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

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
	result := &undeleted{Manifests: back.Manifests, Tags: back.Tags}
	for _, l := range back.Lost {
		result.Lost = append(result.Lost, lost{l.Name, l.Reason})
	}
	o.log.Info("Something was brought back.", "target", what.Target, "manifests", len(back.Manifests), "tags", len(back.Tags), "lost", len(back.Lost))
	return report{Undeleted: result}, nil
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
	if found.Blob == nil && len(found.Manifests)+len(found.Links) == 0 {
		r.Note = "it is nowhere in " + string(repo) + ": it was never pushed there, or it went for good"
	}
	return r, nil
}

// parseTarget takes apart what a person names: repository:tag or repository@digest.
func parseTarget(s string) (oci.Repository, oci.Reference, error) {
	name, reference, ok := strings.Cut(s, "@")
	if !ok {
		i := strings.LastIndexByte(s, ':')
		if i < 0 {
			return "", oci.Reference{}, fmt.Errorf(`"target" is %q, neither repository:tag nor repository@digest`, s)
		}
		name, reference = s[:i], s[i+1:]
	}
	repo, err := oci.ParseRepository(name)
	if err != nil {
		return "", oci.Reference{}, err
	}
	ref, err := oci.ParseReference(reference)
	return repo, ref, err
}
