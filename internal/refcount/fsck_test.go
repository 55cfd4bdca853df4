// SPDX-License-Identifier: Apache-2.0

package refcount_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
	"tare/internal/store/diskstore"
	"tare/internal/store/faultstore"
)

// fsck audits the world and returns what it finds.
func (w *world) fsck(opts refcount.FsckOptions) (found []refcount.Finding, report refcount.FsckReport) {
	w.t.Helper()
	opts.Found = func(f refcount.Finding) error { found = append(found, f); return nil }
	report, err := w.Fsck(context.Background(), w.store, opts)
	w.must(err)
	return found, report
}

// write does to the table what no operation of the ledger would.
func (w *world) write(ops ...store.Op) {
	w.t.Helper()
	w.damages++
	w.must(w.store.Commit(context.Background(), store.Tx{Token: fmt.Sprint("damage ", w.damages), Ops: ops}))
}

func at(pk, sk string) store.Key { return store.Key{PK: pk, SK: sk} }

func inRepo(kind string, sk oci.Digest) store.Key { return at(kind+"#"+string(repo), string(sk)) }

func gone(k store.Key) store.Op { return store.Op{Key: k, Kind: store.OpDelete} }

func plus(k store.Key, attr string, n int64) store.Op {
	return store.Op{Key: k, Kind: store.OpUpdate, Add: []store.Attr{{Name: attr, Value: store.Int(n)}}}
}

func set(k store.Key, attr string, v store.Value) store.Op {
	return store.Op{Key: k, Kind: store.OpUpdate, Set: []store.Attr{{Name: attr, Value: v}}}
}

func unset(k store.Key, attrs ...string) store.Op {
	return store.Op{Key: k, Kind: store.OpUpdate, Remove: attrs, If: []store.Cond{{Is: store.Present}}}
}

// damaged is a registry that is about to be damaged.
type damaged struct {
	*world
	layer, config oci.Digest // the layer in an object, the config in the table
	image, list   oci.Digest // the image is tagged v1, and a child of the list
	signature     oci.Digest // refers to the image
	large         oci.Digest // a manifest whose body is an object
	lone          oci.Digest // a blob that no manifest lists
}

func newDamaged(t *testing.T) *damaged {
	w := newWorld(t)
	x := &damaged{world: w, layer: w.upload(repo, big), config: w.upload(repo, "{}"), lone: w.upload(repo, "lone")}
	push := func(name string, tags []oci.Tag, change ...func(*refcount.Push)) oci.Digest {
		d, err := w.push(repo, name, tags, change...)
		w.must(err)
		return d
	}
	x.image = push("image", []oci.Tag{"v1"}, links(x.config, x.layer))
	x.list = push("list", []oci.Tag{"all"}, children(x.image))
	x.signature = push("signature", nil, subject(x.image))
	x.large = push(strings.Repeat("large ", refcount.MaxInlineBody/5), nil, links(x.layer))
	if ok, err := w.Mount(context.Background(), "team/other", x.layer, repo); !ok || err != nil {
		t.Fatal(ok, err)
	}
	return x
}

func (x *damaged) row(k store.Key) store.Row {
	x.t.Helper()
	rows, err := x.store.Get(context.Background(), k)
	x.must(err)
	if rows[0] == nil {
		x.t.Fatalf("no row %s", k)
	}
	return rows[0]
}

// object names the bytes of a row.
func (x *damaged) object(k store.Key) string { x.t.Helper(); return x.row(k).Text("object") }

func (x *damaged) put(object, content string) {
	x.t.Helper()
	x.must(x.store.Put(context.Background(), object, strings.NewReader(content), int64(len(content))))
}

func blobRow(d oci.Digest) store.Key { return at("b#"+string(d), "b") }

// damages are what can be wrong, each with the finding that has to tell it, and whether a repair mends it.
func damages() []struct {
	name   string
	want   refcount.Finding
	mended bool
	plant  func(x *damaged)
} {
	const must, should = refcount.Must, refcount.Should
	is := func(kind, invariant string, s refcount.Severity) refcount.Finding {
		return refcount.Finding{Kind: kind, Invariant: invariant, Severity: s}
	}
	ctx := context.Background()
	return []struct {
		name   string
		want   refcount.Finding
		mended bool
		plant  func(x *damaged)
	}{
		{"too many references", is("count", "C2", should), true, func(x *damaged) { x.write(plus(inRepo("l", x.layer), "refs", 1)) }},
		{"too few references", is("count", "C2", must), true, func(x *damaged) { x.write(plus(inRepo("l", x.layer), "refs", -1)) }},
		{"no references", is("count", "C2", must), true, func(x *damaged) {
			x.write(set(inRepo("l", x.layer), "refs", store.Int(0)), set(inRepo("l", x.config), "due", store.Int(1)))
		}},
		{"a reference of nothing", is("count", "C2", should), true, func(x *damaged) {
			x.write(plus(inRepo("l", x.lone), "refs", 1))
		}},
		{"too many links", is("count", "C2", should), true, func(x *damaged) { x.write(plus(blobRow(x.layer), "links", 1)) }},
		{"too few links", is("count", "C2", must), true, func(x *damaged) { x.write(plus(blobRow(x.layer), "links", -1)) }},
		{"links of nothing", is("count", "C2", should), true, func(x *damaged) {
			d := x.upload(repo, "another")
			x.write(gone(inRepo("l", d)))
		}},
		{"too many parents", is("count", "C2", should), true, func(x *damaged) { x.write(plus(inRepo("m", x.list), "parents", 1)) }},
		{"too few parents", is("count", "C2", must), true, func(x *damaged) { x.write(plus(inRepo("m", x.image), "parents", -1)) }},
		{"too many tags", is("count", "C7", should), true, func(x *damaged) { x.write(plus(inRepo("m", x.signature), "tags", 1)) }},
		{"too few tags", is("count", "C7", must), true, func(x *damaged) { x.write(plus(inRepo("m", x.image), "tags", -1)) }},

		{"a blob that is gone", is("link", "C2", must), false, func(x *damaged) { x.write(gone(blobRow(x.layer))) }},
		{"a blob of another object", is("link", "C2", must), false, func(x *damaged) { x.write(set(blobRow(x.config), "size", store.Int(3))) }},
		{"a link that is gone", is("manifest", "C3", must), false, func(x *damaged) { x.write(gone(inRepo("l", x.config))) }},
		{"a child that is gone", is("manifest", "C3", must), false, func(x *damaged) { x.write(gone(inRepo("m", x.image))) }},
		{"a body that is gone", is("manifest", "C3", must), false, func(x *damaged) { x.write(gone(inRepo("y", x.image))) }},
		{"edges of no known form", is("manifest", "C3", must), false, func(x *damaged) {
			x.write(set(inRepo("y", x.image), "edges", store.Bytes("\x00half")))
		}},
		{"a body of another version", is("manifest", "C2", must), false, func(x *damaged) {
			x.write(set(inRepo("y", x.image), "v", store.String("other")))
		}},
		{"a cursor beyond the edges", is("manifest", "C2", must), false, func(x *damaged) { x.write(plus(inRepo("m", x.image), "cur", 1)) }},
		{"visible too early", is("manifest", "C3", must), false, func(x *damaged) { x.write(plus(inRepo("m", x.image), "cur", -1)) }},
		{"a manifest row that is gone", is("manifest", "C1", must), false, func(x *damaged) { x.write(gone(inRepo("m", x.signature))) }},
		{"a tag's manifest that is gone", is("tag", "C7", must), false, func(x *damaged) { x.write(gone(inRepo("m", x.image))) }},
		{"a tag that is gone", is("reverse-row", "C7", should), true, func(x *damaged) { x.write(gone(at("t#"+string(repo), "v1"))) }},
		{"a reverse row that is gone", is("reverse-row", "C7", should), true, func(x *damaged) {
			x.write(gone(at("d#"+string(repo), string(x.image)+"#v1")))
		}},
		{"a reverse row of a deletion", is("reverse-row", "C7", should), true, func(x *damaged) {
			x.write(set(at("d#"+string(repo), string(x.image)+"#v1"), "gone", store.String("deletion")))
		}},
		{"a reverse row too many", is("reverse-row", "C7", should), true, func(x *damaged) {
			x.write(store.Op{Key: at("d#"+string(repo), string(x.list)+"#v1"), Kind: store.OpPut})
		}},
		{"a reverse row of nothing", is("reverse-row", "C7", should), true, func(x *damaged) {
			x.write(store.Op{Key: at("d#"+string(repo), string(x.lone)+"#v9"), Kind: store.OpPut})
		}},
		{"a referrer that is not listed", is("referrer", "C3", should), false, func(x *damaged) {
			page, err := x.store.Query(ctx, store.Query{PK: "r#" + string(repo), Limit: 1})
			x.must(err)
			x.write(gone(page.Items[0].Key))
		}},
		{"a referrer that is listed as gone", is("referrer", "C3", should), false, func(x *damaged) {
			page, err := x.store.Query(ctx, store.Query{PK: "r#" + string(repo), Limit: 1})
			x.must(err)
			x.write(set(page.Items[0].Key, "gone", store.String("deletion")))
		}},
		{"a referrer of nothing", is("referrer", "C3", should), true, func(x *damaged) {
			x.write(store.Op{Key: at("r#"+string(repo), string(x.image)+"#0123456789abcdef#"+string(x.lone)), Kind: store.OpPut,
				Row: store.NewRow(store.Attr{Name: "desc", Value: store.String("{}")})})
		}},
		{"a repository's row that is gone", is("repository", "C11", should), true, func(x *damaged) { x.write(gone(at("n", string(repo)))) }},

		{"a link without a due", is("due", "C6", should), true, func(x *damaged) { x.write(unset(inRepo("l", x.lone), "due")) }},
		{"a blob without a due", is("due", "C6", should), true, func(x *damaged) {
			x.must(x.DeleteBlob(ctx, repo, x.lone))
			x.write(unset(blobRow(x.lone), "due"))
		}},
		{"a deleted manifest without a due", is("due", "C6", should), true, func(x *damaged) {
			x.must(x.DeleteManifest(ctx, repo, x.list))
			x.write(unset(inRepo("m", x.list), "due", "shard"))
		}},
		{"an upload without a due", is("due", "C6", should), true, func(x *damaged) {
			_, err := x.Write(ctx, refcount.Session{ID: "up", Repo: repo, Object: x.NewObject()})
			x.must(err)
			x.write(unset(at("s#up", "s"), "due"))
		}},
		{"a tombstone without a due", is("due", "C6", should), true, func(x *damaged) {
			d := x.upload(repo, big+"2")
			object := x.object(blobRow(d))
			x.must(x.DeleteBlob(ctx, repo, d))
			x.sweep()
			x.write(unset(at("x#"+object, "x"), "due"))
		}},
		{"history without a due", is("due", "C6", should), true, func(x *damaged) {
			page, err := x.store.Query(ctx, store.Query{PK: "h#" + string(repo), Limit: 1})
			x.must(err)
			x.write(unset(page.Items[0].Key, "due"))
		}},
		{"a due in another slice", is("due", "C6", should), true, func(x *damaged) { x.write(plus(inRepo("l", x.lone), "shard", 1)) }},

		{"bytes that are gone", is("bytes", "C3", must), false, func(x *damaged) { x.must(x.store.Delete(ctx, x.object(blobRow(x.layer)))) }},
		{"bytes that are short", is("bytes", "C3", must), false, func(x *damaged) { x.put(x.object(blobRow(x.layer)), big[1:]) }},
		{"content that is gone", is("bytes", "C3", must), false, func(x *damaged) { x.write(gone(at("c#"+x.object(blobRow(x.config)), "c"))) }},
		{"content that is short", is("bytes", "C3", must), false, func(x *damaged) {
			x.write(set(at("c#"+x.object(blobRow(x.config)), "c"), "bytes", store.Bytes("{")))
		}},
		{"bytes of a manifest that are gone", is("bytes", "C3", must), false, func(x *damaged) {
			x.must(x.store.Delete(ctx, x.object(inRepo("y", x.large))))
		}},
		{"an object that nobody owns", is("orphan", "C1", should), true, func(x *damaged) { x.put("stray", "x") }},
		{"an upload that nobody owns", is("orphan", "C1", should), true, func(x *damaged) {
			_, err := x.store.Begin(ctx, "stray")
			x.must(err)
		}},
		{"content that nobody owns", is("orphan", "C1", should), true, func(x *damaged) {
			x.write(store.Op{Key: at("c#istray", "c"), Kind: store.OpPut, Row: store.NewRow(store.Attr{Name: "bytes", Value: store.Bytes("x")})})
		}},
		{"an object that two own", is("two-owners", "C1", must), false, func(x *damaged) {
			x.write(store.Op{Key: at("x#"+x.object(blobRow(x.layer)), "x"), Kind: store.OpPut, Row: store.NewRow(
				store.Attr{Name: "why", Value: store.String("damage")}, store.Attr{Name: "v", Value: store.String("v")},
				store.Attr{Name: "since", Value: store.Int(1)}, store.Attr{Name: "due", Value: store.Int(1)})})
		}},

		{"a row of a newer format", is("newer", "A1", must), false, func(x *damaged) { x.write(set(inRepo("l", x.layer), "f", store.Int(2))) }},
		{"a row of an unknown kind", is("malformed", "A1", must), false, func(x *damaged) {
			x.write(store.Op{Key: at("q#"+string(repo), "x"), Kind: store.OpPut})
		}},
		{"a row without a digest", is("malformed", "A1", must), false, func(x *damaged) {
			x.write(store.Op{Key: inRepo("l", "sha256"), Kind: store.OpPut, Row: x.row(inRepo("l", x.layer))})
		}},
		{"a number that is a text", is("malformed", "A1", must), false, func(x *damaged) {
			x.write(set(inRepo("l", x.lone), "refs", store.String("0")))
		}},
	}
}

// TestFsckFindsAndMends plants each kind of damage: it is found, told by its invariant, and told again until it is mended.
func TestFsckFindsAndMends(t *testing.T) {
	for _, tc := range damages() {
		t.Run(tc.name, func(t *testing.T) {
			x := newDamaged(t)
			x.audit()
			tc.plant(x)
			wanted := func(f refcount.Finding) bool {
				return f.Kind == tc.want.Kind && f.Invariant == tc.want.Invariant && f.Severity == tc.want.Severity
			}
			found, _ := x.fsck(refcount.FsckOptions{})
			if !slices.ContainsFunc(found, wanted) {
				t.Fatalf("found %v, want %+v", found, tc.want)
			}
			again, _ := x.fsck(refcount.FsckOptions{})
			if fmt.Sprint(again) != fmt.Sprint(found) {
				t.Errorf("found %v,\nand then %v", found, again)
			}
			for _, f := range found {
				if f.Text == "" || f.Subject == "" || f.Where == "" || f.Advice == "" || f.Repaired != "" {
					t.Errorf("not told: %+v", f)
				}
			}
			repaired, report := x.fsck(refcount.FsckOptions{Repair: true})
			left, _ := x.fsck(refcount.FsckOptions{})
			if tc.mended {
				if len(left) > 0 || report.Repaired != len(repaired) {
					t.Fatalf("repaired %d of %v; left: %v", report.Repaired, repaired, left)
				}
				x.settle()
				x.audit()
				return
			}
			if !slices.ContainsFunc(left, wanted) {
				t.Errorf("a repair took away what it cannot mend: %v", left)
			}
		})
	}
}

// The same damage is told in the same words on disk.
func TestFsckOnDisk(t *testing.T) {
	clk := clock.NewManual(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
	s, err := diskstore.Open(t.TempDir(), diskstore.Options{Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, tc := range damages() {
		t.Run(tc.name, func(t *testing.T) {
			x := newDamaged(t)
			tc.plant(x)
			want, _ := x.fsck(refcount.FsckOptions{Hash: refcount.HashAll})
			x.copyTo(s)
			l, err := refcount.New(refcount.Stores{Table: s, Objects: s, Parts: s}, clk, refcount.Config{Margins: x.Margins()})
			x.must(err)
			var got []refcount.Finding
			_, err = l.Fsck(t.Context(), s, refcount.FsckOptions{Hash: refcount.HashAll, Found: func(f refcount.Finding) error {
				got = append(got, f)
				return nil
			}})
			x.must(err)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// copyTo makes s hold what the world holds, and nothing else.
func (x *damaged) copyTo(s stores) {
	x.t.Helper()
	ctx := context.Background()
	old, err := s.Scan(ctx, store.Key{}, store.MaxLimit)
	x.must(err)
	page, err := x.store.Scan(ctx, store.Key{}, store.MaxLimit)
	x.must(err)
	ops := map[store.Key]store.Op{}
	for _, it := range old.Items {
		ops[it.Key] = gone(it.Key)
	}
	for _, it := range page.Items {
		ops[it.Key] = store.Op{Key: it.Key, Kind: store.OpPut, Row: it.Row}
	}
	x.must(s.Commit(ctx, store.Tx{Token: rand.Text(), Ops: slices.Collect(maps.Values(ops))}))
	each := func(from stores, object func(store.ObjectInfo), upload func(store.PendingUpload)) {
		objects, err := from.List(ctx, "", "", store.MaxLimit)
		x.must(err)
		for _, o := range objects {
			object(o)
		}
		pending, err := from.Pending(ctx, "")
		x.must(err)
		for _, p := range pending {
			upload(p)
		}
	}
	each(s, func(o store.ObjectInfo) { x.must(s.Delete(ctx, o.Key)) }, func(p store.PendingUpload) { x.must(s.Abort(ctx, p.Key, p.ID)) })
	each(x.store, func(o store.ObjectInfo) {
		r, err := x.store.Open(ctx, o.Key, 0, -1)
		x.must(err)
		x.must(s.Put(ctx, o.Key, r, o.Size))
	}, func(p store.PendingUpload) {
		_, err := s.Begin(ctx, p.Key)
		x.must(err)
	})
}

// What a repair mends is what the registry would be without the damage: all that was readable stays so when every margin
// has passed.
func TestRepairKeepsWhatIsNamed(t *testing.T) {
	ctx := context.Background()
	for _, tc := range damages() {
		if !tc.mended || strings.HasPrefix(tc.name, "a deleted") || tc.name == "a tag that is gone" {
			continue // what is named by less than before
		}
		t.Run(tc.name, func(t *testing.T) {
			x := newDamaged(t)
			tc.plant(x)
			x.fsck(refcount.FsckOptions{Repair: true})
			x.settle()
			for _, d := range []oci.Digest{x.image, x.list, x.signature, x.large} {
				if _, _, err := x.ReadManifest(ctx, repo, d); err != nil {
					t.Errorf("%s: %v", d, err)
				}
			}
			link, err := x.Look(ctx, repo, x.layer)
			x.must(err)
			if _, err := x.store.Stat(ctx, link.Object); err != nil {
				t.Error(err)
			}
			if _, err := x.Look(ctx, repo, x.lone); err == nil {
				t.Error("what no manifest lists stays")
			}
			if n := x.objects(); n != 2 {
				t.Errorf("%d objects are left", n)
			}
		})
	}
}

// The row of a referrer without an artifact type has a shorter key.
func TestFsckKnowsReferrersWithoutAType(t *testing.T) {
	x := newDamaged(t)
	_, err := x.push(repo, "plain", nil, subject(x.image), func(p *refcount.Push) { p.ArtifactType = "" })
	x.must(err)
	if found, _ := x.fsck(refcount.FsckOptions{}); len(found) > 0 {
		t.Errorf("%+v", found)
	}
}

// The bytes of blobs and manifests, in the table and in objects, are compared with their digests when that is asked for.
func TestFsckHashes(t *testing.T) {
	for name, plant := range map[string]func(x *damaged){
		"an object":             func(x *damaged) { x.put(x.object(blobRow(x.layer)), strings.ToUpper(big)) },
		"content":               func(x *damaged) { x.write(set(at("c#"+x.object(blobRow(x.config)), "c"), "bytes", store.Bytes("[]"))) },
		"a manifest":            func(x *damaged) { x.write(set(inRepo("y", x.image), "body", store.Bytes(`{"name":"imagE"}`))) },
		"a manifest's object":   func(x *damaged) { k := x.object(inRepo("y", x.large)); x.put(k, strings.Repeat("x", x.sizeOf(k))) },
		"a manifest of sha512":  func(x *damaged) { x.plant512("other bytes") },
		"nothing, and a sha512": func(x *damaged) { x.plant512("") },
	} {
		t.Run(name, func(t *testing.T) {
			x := newDamaged(t)
			plant(x)
			if found, report := x.fsck(refcount.FsckOptions{}); len(found) > 0 || report.Hashed > 0 {
				t.Fatalf("%v; hashed %d", found, report.Hashed)
			}
			for _, hash := range []int{refcount.HashAll, 1000} {
				found, report := x.fsck(refcount.FsckOptions{Hash: hash, Repair: true})
				want := 1
				if strings.HasPrefix(name, "nothing") {
					want = 0
				}
				if len(found) != want || want == 1 && (found[0].Kind != "content" || found[0].Severity != refcount.Must) {
					t.Fatalf("found %v", found)
				}
				if report.Hashed < 7 || report.HashedBytes < int64(2*len(big)) {
					t.Errorf("%+v", report)
				}
			}
			if _, report := x.fsck(refcount.FsckOptions{Hash: 2}); report.Hashed != 2 {
				t.Errorf("a sample of 2 hashed %d", report.Hashed)
			}
		})
	}
}

func (x *damaged) sizeOf(object string) int {
	info, err := x.store.Stat(context.Background(), object)
	x.must(err)
	return int(info.Size)
}

// plant512 pushes a manifest under a sha512 digest; other, if not "", becomes its body.
func (x *damaged) plant512(other string) {
	body := []byte(`{"name":"sha512"}`)
	d := digest.SHA512.FromBytes(body)
	x.must(second(x.Push(context.Background(), refcount.Push{Repo: repo, Digest: d, MediaType: oci.MediaTypeManifest, Body: body})))
	if other != "" {
		x.write(set(inRepo("y", d), "body", store.Bytes(other)))
	}
}

// An object that a row may own which cannot be read is no orphan to be buried.
func TestRepairSparesWhatAnUnreadableRowMayOwn(t *testing.T) {
	x := newDamaged(t)
	x.write(set(blobRow(x.layer), "f", store.Int(2)))
	found, _ := x.fsck(refcount.FsckOptions{Repair: true})
	for _, f := range found {
		if f.Repaired != "" {
			t.Errorf("repaired: %v", f)
		}
	}
	if len(found) != 2 { // the row, and the object
		t.Errorf("found %v", found)
	}
	x.write(set(blobRow(x.layer), "f", store.Int(1)))
	x.audit()
}

// A large registry costs store calls in proportion to its rows, also where much is wrong.
func TestFsckIsLinear(t *testing.T) {
	calls := func(n int) int {
		w := newWorld(t)
		for i := range n {
			r := oci.Repository(fmt.Sprint("repo-", i%10))
			d, err := w.push(r, fmt.Sprint(i), []oci.Tag{oci.Tag(fmt.Sprint("t", i))}, links(w.upload(r, "shared"), w.upload(r, fmt.Sprint("own ", i))))
			w.must(err)
			if i%20 == 0 {
				w.write(plus(at("m#"+string(r), string(d)), "tags", 1))
			}
		}
		p := faultstore.New(faultstore.Options{})
		table := p.Table(w.store)
		l := w.beside(table)
		findings := 0
		_, err := l.Fsck(context.Background(), table.(store.Scanner), refcount.FsckOptions{Found: func(refcount.Finding) error { findings++; return nil }})
		w.must(err)
		if findings != n/20 {
			t.Fatalf("%d findings in %d", findings, n)
		}
		return p.Calls()
	}
	small, large := calls(1000), calls(4000)
	t.Logf("%d store calls for 1,000 manifests, %d for 4,000", small, large)
	if large > 4*small+100 {
		t.Errorf("%d store calls for 1,000 manifests, %d for 4,000", small, large)
	}
}

// A manifest looks miscounted because a tag came while its rows were read, and is deleted, tags and all, after it was counted
// anew. Nothing is wrong with it.
func TestRecountMeetsADeletion(t *testing.T) {
	w := newWorld(t)
	d, err := w.push(repo, "a", []oci.Tag{"v1"})
	w.must(err)
	tags, counted, deleted := 0, false, false
	p := faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
		switch {
		case c.Kind == faultstore.Query && c.Keys[0].PK == "t#"+string(repo):
			if tags++; tags == 1 {
				_, err := w.push(repo, "a", []oci.Tag{"v2"})
				w.must(err)
			}
		case c.Kind == faultstore.Query && c.Keys[0].PK == "l#"+string(repo):
			counted = tags == 2
		case c.Kind == faultstore.Get && counted && !deleted && len(c.Keys) == 1 && c.Keys[0] == inRepo("m", d):
			deleted = true
			w.must(w.DeleteManifest(context.Background(), repo, d))
		}
		return faultstore.Pass
	}})
	table := p.Table(w.store)
	_, err = w.beside(table).Fsck(t.Context(), table.(store.Scanner), refcount.FsckOptions{Repair: true, Found: func(f refcount.Finding) error {
		t.Errorf("a false alarm: %s", f)
		return nil
	}})
	w.must(err)
	if !deleted {
		t.Error("nothing was counted anew")
	}
	w.audit()
}

// Who does what the audit advises for bytes that are lost, or are others, has a whole registry again at once: no margin is
// to be waited for.
func TestAdviceForLostBytes(t *testing.T) {
	ctx := context.Background()
	for name, lose := range map[string]func(x *damaged, object string){
		"lost":   func(x *damaged, object string) { x.must(x.store.Delete(ctx, object)) },
		"others": func(x *damaged, object string) { x.put(object, strings.ToUpper(big)) },
	} {
		t.Run(name, func(t *testing.T) {
			x := newDamaged(t)
			lose(x, x.object(blobRow(x.layer)))
			found, _ := x.fsck(refcount.FsckOptions{Hash: refcount.HashAll, Repair: true})
			if len(found) != 1 || !strings.Contains(found[0].Advice, "delete it in each repository that has it, run tare gc, and push again") {
				t.Fatalf("found %+v", found)
			}
			for _, d := range []oci.Digest{x.list, x.image, x.large} {
				x.must(x.DeleteManifest(ctx, repo, d))
			}
			for _, r := range []oci.Repository{repo, "team/other"} {
				x.must(x.DeleteBlob(ctx, r, x.layer))
			}
			x.sweep()
			x.must(second(x.push(repo, "image", []oci.Tag{"v1"}, links(x.config, x.upload(repo, big)))))
			if found, _ := x.fsck(refcount.FsckOptions{Hash: refcount.HashAll}); len(found) > 0 {
				t.Errorf("found %+v", found)
			}
		})
	}
}
