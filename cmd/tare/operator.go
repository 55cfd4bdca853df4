// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
)

// operator is administration of an open data folder.
type operator struct {
	*folder
	sweeper *sweeper
	clock   clock.Clock
	log     *slog.Logger
}

// gcRequest asks for a sweep.
type gcRequest struct {
	GiveUpMargins bool `json:"give_up_margins"`
	List          bool `json:"list"` // what waits one by one, instead of added up
}

// gcLine is news of a sweep: one of the fields is set.
type gcLine struct {
	Swept *swept `json:"swept,omitempty"` // so far
	Waits *waits `json:"waits,omitempty"`
}

// swept is what a sweep did.
type swept struct {
	Links        int      `json:"links"`
	Blobs        int      `json:"blobs"`
	Objects      int      `json:"objects"`
	Bytes        int64    `json:"bytes"`
	Uploads      int      `json:"uploads"`
	Manifests    int      `json:"manifests"`
	Tags         int      `json:"tags"`
	Repositories int      `json:"repositories"`
	Failed       int      `json:"failed"`
	Errors       []string `json:"errors,omitempty"`
}

// waits is what will go, one thing or all of a kind that wait for the same reason.
type waits struct {
	Kind       string         `json:"kind"`
	Repository oci.Repository `json:"repository,omitempty"`
	Name       string         `json:"name,omitempty"`
	Why        string         `json:"why"`
	Count      int            `json:"count"`
	Bytes      int64          `json:"bytes"`
	First      time.Time      `json:"first"`
	Last       time.Time      `json:"last"`
}

func (o *operator) gc(ctx context.Context, r gcRequest, line func(gcLine) error) error {
	report, err := o.sweeper.sweep(ctx, r.GiveUpMargins, func(so refcount.Report) error {
		s := sweptOf(so)
		return line(gcLine{Swept: &s})
	})
	s := sweptOf(report)
	if lineErr := line(gcLine{Swept: &s}); err == nil {
		err = lineErr
	}
	if err != nil {
		return err
	}
	if r.List {
		return o.list(ctx, line)
	}
	return o.sum(ctx, line)
}

func sweptOf(r refcount.Report) swept {
	s := swept{
		Links: r.Links, Blobs: r.Blobs, Objects: r.Objects, Bytes: r.Bytes, Uploads: r.Sessions,
		Manifests: r.Manifests, Tags: r.Tags, Repositories: r.Repositories, Failed: r.Failed,
	}
	for _, err := range r.Errors {
		s.Errors = append(s.Errors, err.Error())
	}
	return s
}

// list tells all that waits, one by one.
func (o *operator) list(ctx context.Context, line func(gcLine) error) error {
	var failed error
	err := o.ledger.Waiting(ctx, func(w refcount.Waiting) bool {
		failed = line(gcLine{Waits: &waits{
			Kind: w.Kind, Repository: w.Repository, Name: w.Name, Why: w.Why,
			Count: 1, Bytes: w.Bytes, First: w.Until, Last: w.Until,
		}})
		return failed == nil
	})
	if err != nil {
		return err
	}
	return failed
}

// sum tells what waits, added up by kind and reason, in the order in which they were first met.
func (o *operator) sum(ctx context.Context, line func(gcLine) error) error {
	type group struct{ kind, why string }
	var order []group
	sums := make(map[group]*waits)
	err := o.ledger.Waiting(ctx, func(w refcount.Waiting) bool {
		g := group{w.Kind, w.Why}
		s, ok := sums[g]
		if !ok {
			s = &waits{Kind: w.Kind, Why: w.Why, First: w.Until, Last: w.Until}
			sums[g] = s
			order = append(order, g)
		}
		s.Count++
		s.Bytes += w.Bytes
		if w.Until.Before(s.First) {
			s.First = w.Until
		}
		if w.Until.After(s.Last) {
			s.Last = w.Until
		}
		return true
	})
	if err != nil {
		return err
	}
	for _, g := range order {
		if err := line(gcLine{Waits: sums[g]}); err != nil {
			return err
		}
	}
	return nil
}

// undeleteRequest names a manifest by its digest, or a tag.
type undeleteRequest struct {
	Repository string `json:"repository"`
	Reference  string `json:"reference"`
}

func (o *operator) undelete(ctx context.Context, r undeleteRequest) (refcount.Restored, error) {
	repo, err := oci.ParseRepository(r.Repository)
	if err != nil {
		return refcount.Restored{}, err
	}
	ref, err := oci.ParseReference(r.Reference)
	switch {
	case err != nil:
		return refcount.Restored{}, err
	case ref.Digest != "":
		return o.ledger.Undelete(ctx, repo, ref.Digest)
	}
	return o.ledger.UndeleteTag(ctx, repo, ref.Tag)
}

// sizeRequest names a repository, or all of them by "".
type sizeRequest struct {
	Repository string `json:"repository"`
}

// repositorySize is what one repository keeps.
type repositorySize struct {
	Repository string `json:"repository"`
	Bytes      int64  `json:"bytes"`     // of all its blobs
	Exclusive  int64  `json:"exclusive"` // of the blobs that no other repository has
	Blobs      int    `json:"blobs"`
	Manifests  int    `json:"manifests"`
	Tags       int    `json:"tags"`
}

// scanPage is how many repositories or rows are read at once.
const scanPage = 1000

func (o *operator) size(ctx context.Context, r sizeRequest, line func(repositorySize) error) error {
	one := func(repo oci.Repository) error {
		s, err := o.ledger.Size(ctx, repo)
		if err != nil {
			return err
		}
		return line(repositorySize{string(repo), s.Bytes, s.Exclusive, s.Blobs, s.Manifests, s.Tags})
	}
	if r.Repository != "" {
		repo, err := oci.ParseRepository(r.Repository)
		if err != nil {
			return err
		}
		return one(repo)
	}
	repos, err := o.repositories(ctx)
	if err != nil {
		return err
	}
	for _, repo := range repos {
		if err := one(repo); err != nil && oci.CodeOf(err) != oci.NameUnknown { // it went since it was listed
			return err
		}
	}
	return nil
}

// repositories lists all that keep something. The row of one comes with its first manifest; before that it has blobs that
// no manifest lists, each of which waits for the sweep.
func (o *operator) repositories(ctx context.Context) ([]oci.Repository, error) {
	found := make(map[oci.Repository]bool)
	for last, more := "", true; more; {
		var names []string
		var err error
		if names, more, err = o.ledger.Repositories(ctx, last, scanPage, nil); err != nil {
			return nil, err
		}
		for _, last = range names {
			found[oci.Repository(last)] = true
		}
	}
	err := o.ledger.Waiting(ctx, func(w refcount.Waiting) bool {
		if w.Repository != "" {
			found[w.Repository] = true
		}
		return true
	})
	return slices.Sorted(maps.Keys(found)), err
}

// backup writes an archive. Objects that its rows name cannot go meanwhile.
func (o *operator) backup(ctx context.Context, w io.Writer) error {
	release, err := o.sweeper.hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	snapshot, err := o.snapshot(ctx, o.clock)
	if err != nil {
		return err
	}
	defer snapshot.Close()
	archive, err := newArchiveWriter(w, archiveHeader{Version: buildVersion(), Created: o.clock.Now().Truncate(time.Second)})
	if err != nil {
		return err
	}
	// Two walks of a snapshot, which stays as it is, take no memory that grows with the registry.
	if err := eachRow(ctx, snapshot, archive.row); err != nil {
		return err
	}
	err = eachRow(ctx, snapshot, func(it store.Item) error {
		if object := refcount.ObjectOf(it); object != "" {
			return o.archiveObject(ctx, archive, object)
		}
		return nil
	})
	if err != nil {
		return err
	}
	sum, err := archive.close()
	if err != nil {
		return err
	}
	o.log.Info("A backup was written.", "rows", sum.Rows, "objects", sum.Objects, "bytes", sum.Bytes)
	return nil
}

// eachRow visits all rows.
func eachRow(ctx context.Context, rows store.Scanner, visit func(store.Item) error) error {
	var after store.Key
	for {
		page, err := rows.Scan(ctx, after, scanPage)
		if err != nil {
			return err
		}
		for _, it := range page.Items {
			if err := visit(it); err != nil {
				return err
			}
			after = it.Key
		}
		if !page.More {
			return nil
		}
	}
}

func (o *operator) archiveObject(ctx context.Context, a *archiveWriter, key string) error {
	info, err := o.store.Stat(ctx, key)
	if err != nil {
		return err
	}
	r, err := o.store.Open(ctx, key, 0, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	return a.object(key, info.Size, r)
}

// parseTarget takes what a person names apart: repository:tag or repository@digest.
func parseTarget(s string) (undeleteRequest, error) {
	if repository, reference, ok := oci.CutTarget(s); ok {
		return undeleteRequest{repository, reference}, nil
	}
	return undeleteRequest{}, fmt.Errorf("%q is neither repository:tag nor repository@digest", s)
}
