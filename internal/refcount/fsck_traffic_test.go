// SPDX-License-Identifier: Apache-2.0

package refcount_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
	"tare/internal/store/diskstore"
	"tare/internal/store/memstore"
)

// traffic is clients and a collector at one registry.
type traffic struct {
	*refcount.Ledger
	objects store.Objects
}

func repoOf(i int) oci.Repository { return oci.Repository(fmt.Sprint("repo-", i%3)) }

// upload makes content a blob of repo by way of an object.
func (x *traffic) upload(ctx context.Context, repo oci.Repository, id, content string) (oci.Digest, error) {
	d := digest.FromString(content)
	s, err := x.Write(ctx, refcount.Session{ID: id, Repo: repo, Object: x.NewObject()})
	if err != nil {
		return d, err
	}
	if err := x.objects.Put(ctx, s.Object, strings.NewReader(content), int64(len(content))); err != nil {
		return d, err
	}
	return d, x.Finish(ctx, s, d, int64(len(content)))
}

// client pushes, tags, mounts and deletes what all clients share. What others spoil for it is no error.
func (x *traffic) client(ctx context.Context, n, i int) error {
	repo, name := repoOf(i), fmt.Sprint("shared ", i%4)
	layer, err := x.upload(ctx, repo, fmt.Sprint(n, " ", i), "layer "+fmt.Sprint(i%2))
	if err != nil {
		return err
	}
	config := digest.FromString(name)
	if _, err := x.FinishWhole(ctx, repo, "", config, name); err != nil {
		return err
	}
	body := []byte(`{"name":"` + name + `"}`)
	d := digest.FromBytes(body)
	tags := []oci.Tag{oci.Tag(fmt.Sprint("t", n)), "latest"}
	push := func(p refcount.Push) error {
		p.Repo, p.MediaType = repo, oci.MediaTypeManifest
		p.Digest = digest.FromBytes(p.Body)
		return second(x.Push(ctx, p))
	}
	list := []byte(`{"list":"` + name + `"}`)
	signature := []byte(`{"signature":"` + name + `"}`)
	steps := []func() error{
		func() error { return push(refcount.Push{Body: body, Links: []oci.Digest{config, layer}, Tags: tags}) },
		func() error { return push(refcount.Push{Body: list, Children: []oci.Digest{d}, Tags: tags[1:]}) },
		func() error {
			return push(refcount.Push{Body: signature, Subject: d, ArtifactType: "application/x", Referrer: "{}"})
		},
		func() error { _, err := x.Mount(ctx, repoOf(i+1), layer, repo); return err },
		func() error { return x.DeleteTag(ctx, repo, tags[i%2]) },
		func() error { return x.DeleteBlob(ctx, repoOf(i+1), layer) },
		func() error { return x.DeleteManifest(ctx, repo, digest.FromBytes(list)) },
		func() error { return x.DeleteManifest(ctx, repo, d) },
	}
	for _, step := range steps {
		var refused *oci.Error
		if err := step(); err != nil && !errors.As(err, &refused) && !errors.Is(err, store.ErrContended) {
			return err
		}
	}
	return nil
}

// stores is what a registry keeps its state in.
type stores interface {
	store.Table
	store.Scanner
	store.Objects
	store.Multipart
}

// TestFsckBesideTraffic audits again and again, with repairs that nothing needs, while clients and a sweep that gives up
// all margins are at work.
func TestFsckBesideTraffic(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		besideTraffic(t, memstore.New(clock.System{}, memstore.Options{RefuseOverlap: true}))
	})
	t.Run("disk", func(t *testing.T) {
		s, err := diskstore.Open(t.TempDir(), diskstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		besideTraffic(t, s)
	})
}

func besideTraffic(t *testing.T, s stores) {
	l, err := refcount.New(refcount.Stores{Table: s, Objects: s, Parts: s}, clock.System{},
		refcount.Config{Margins: refcount.DefaultMargins(), InlineLimit: 64})
	if err != nil {
		t.Fatal(err)
	}
	x := &traffic{l, s}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	var rounds atomic.Int64
	for n := range 3 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := x.client(ctx, n, i); err != nil && ctx.Err() == nil {
					t.Errorf("client %d: %v", n, err)
					return
				}
				rounds.Add(1)
			}
		})
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			if _, err := l.Sweep(ctx, refcount.SweepOptions{GiveUpMargins: true}); err != nil && ctx.Err() == nil {
				t.Errorf("sweep: %v", err)
				return
			}
		}
	})
	audits, unjudged := 0, 0
	for ; (audits < 50 || rounds.Load() < 100) && !t.Failed(); audits++ {
		report, err := l.Fsck(ctx, s, refcount.FsckOptions{Repair: true, Hash: refcount.HashAll, Found: func(f refcount.Finding) error {
			t.Errorf("a false alarm: %s", f)
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		unjudged += report.Unjudged
	}
	t.Logf("%d audits beside %d rounds of clients; %d counts could not be judged", audits, rounds.Load(), unjudged)
	stop()
	wg.Wait()
	findings, err := l.Audit(t.Context(), s)
	if err != nil || len(findings) > 0 {
		t.Errorf("afterwards: %v, %v", findings, err)
	}
}
