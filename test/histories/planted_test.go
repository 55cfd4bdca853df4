// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tare/internal/store"
)

// careless is a table whose users forget something: it takes conditions out of transactions.
type careless struct {
	store.Table
	forgets func(op *store.Op, c store.Cond) bool
	changes func(tx *store.Tx)
}

func (t careless) Commit(ctx context.Context, tx store.Tx) error {
	tx.Ops = slices.Clone(tx.Ops)
	for i := range tx.Ops {
		op := &tx.Ops[i]
		if t.forgets == nil {
			break
		}
		op.If = slices.DeleteFunc(slices.Clone(op.If), func(c store.Cond) bool { return t.forgets(op, c) })
	}
	if t.changes != nil {
		t.changes(&tx)
	}
	// A check of nothing says that the row may be as it likes.
	tx.Ops = slices.DeleteFunc(tx.Ops, func(op store.Op) bool { return op.Kind == store.OpCheck && len(op.If) == 0 })
	return t.Table.Commit(ctx, tx)
}

// forgetting plants the fault that conditions are not made: on rows of these kinds, a letter for each, on an attribute, ""
// for the row itself.
func forgetting(kinds, attr string, is store.Compare) func(store.Table) store.Table {
	return func(t store.Table) store.Table {
		return careless{Table: t, forgets: func(op *store.Op, c store.Cond) bool {
			return strings.Contains(kinds, rowKind(op.Key)) && c.Attr == attr && c.Is == is
		}}
	}
}

func rowKind(k store.Key) string {
	kind, _, _ := strings.Cut(k.PK, "#")
	return kind
}

// planted are faults that must be found. Those that are quick are found within enough seeds in every run.
var planted = []struct {
	name  string
	quick bool
	plant func(store.Table) store.Table
}{
	{"a reference is added to a link that is not there", true, forgetting("l", "", store.Present)},
	{"a link is removed with its references", true, forgetting("l", "refs", store.Equal)},
	{"a due is not looked at again", true, func(t store.Table) store.Table {
		return careless{Table: t, forgets: func(_ *store.Op, c store.Cond) bool { return c.Attr == store.AttrDue && c.Is == store.LessEqual }}
	}},
	{"a blob is used without its object", false, forgetting("b", "object", store.Equal)},
	{"a blob is made although there is one", true, forgetting("b", "", store.Absent)},
	{"a blob goes with its links", true, forgetting("b", "links", store.Equal)},
	{"a finish does not look at its session", false, func(t store.Table) store.Table {
		return careless{Table: t, forgets: func(op *store.Op, _ store.Cond) bool { return rowKind(op.Key) == "s" && op.Kind == store.OpDelete }}
	}},
	{"a direct upload is finished as it may be", false, func(t store.Table) store.Table {
		return careless{Table: t, forgets: func(op *store.Op, _ store.Cond) bool { return rowKind(op.Key) == "p" && op.Kind == store.OpDelete }}
	}},
	{"a direct upload is changed as it may be", false, forgetting("p", "v", store.Equal)},
	{"a tag is written without its version", true, forgetting("t", "v", store.Equal)},
	{"a tag is made although there is one", true, forgetting("t", "", store.Absent)},
	{"a receipt is written again", false, forgetting("h", "", store.Absent)},
	{"a manifest is made although there is one", true, forgetting("my", "", store.Absent)},
	{"a manifest is changed in any state", true, forgetting("m", "state", store.Equal)},
	{"a manifest is deleted with tags that came since", true, forgetting("m", "tags", store.Equal)},
	{"a manifest is deleted under its index", false, forgetting("m", "parents", store.Equal)},
	{"a cursor is moved from anywhere", true, forgetting("m", "cur", store.Equal)},
	{"a repository is changed in any version", false, forgetting("n", "v", store.Equal)},
	{"an unknown outcome is repeated under another token", true, func(t store.Table) store.Table {
		n := 0
		return careless{Table: t, changes: func(tx *store.Tx) { n++; tx.Token = fmt.Sprint(tx.Token[:20], n) }}
	}},
	{"a clock reading may be of any age", false, func(t store.Table) store.Table {
		return careless{Table: t, changes: func(tx *store.Tx) { tx.Before = time.Time{} }}
	}},
}

// enough is how many seeds must do to find a planted fault that is quick.
const enough = 3000

var search = flag.Int("search", 0, "look for each planted fault within so many seeds, and write its script in testdata/planted anew")

// findPlanted looks for a history that a fault spoils.
func findPlanted(plant func(store.Table) store.Table, n int) (tr tried, found bool) {
	for seed := *first; seed < *first+uint64(n); seed++ {
		if tr = generatorOf(seed).script(seed).try(plant); tr.fails("") {
			return tr, true
		}
	}
	return tr, false
}

// Every fault that is planted is found by a script that is kept, and without the fault the script finds nothing.
func TestPlantedFaults(t *testing.T) {
	for _, p := range planted {
		t.Run(p.name, func(t *testing.T) {
			file := filepath.Join("testdata", "planted", strings.ReplaceAll(p.name, " ", "-"))
			if *search > 0 {
				tr, found := findPlanted(p.plant, *search)
				if !found {
					t.Fatal("not found")
				}
				tr = tr.shrink(p.plant)
				t.Log(tr)
				if err := os.WriteFile(file, []byte(tr.script.String()), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			sc := readScript(t, file)
			if !sc.try(p.plant).fails("") {
				t.Error("the script does not find it: run the test with -search 20000")
			}
			if tr := sc.try(nil); tr.fails("") {
				t.Errorf("it fails without the fault:\n%s", tr)
			}
		})
	}
}

// Some are found by seeds in every run.
func TestSeedsFindPlantedFaults(t *testing.T) {
	for _, p := range planted {
		if !p.quick {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			tr, found := findPlanted(p.plant, enough)
			if !found {
				t.Fatalf("not found within %d seeds", enough)
			}
			text, _, _ := strings.Cut(tr.world.faults[0].text, "\n")
			t.Logf("seed %d: %s", tr.seed, text)
		})
	}
}

// TestPlantedInSequences does the same for what shows when one thing is done after another.
func TestPlantedInSequences(t *testing.T) {
	for name, changes := range map[string]func(op *store.Op){
		"references are not given back": func(op *store.Op) {
			if rowKind(op.Key) == "l" && op.Kind == store.OpUpdate && len(op.Add) > 0 && op.Add[0].Value.Num() < 0 {
				op.Add = nil
			}
		},
		"a look renews for a minute": func(op *store.Op) {
			if rowKind(op.Key) == "l" && op.Kind == store.OpUpdate && len(op.Set) == 1 && len(op.Add) == 0 {
				op.Set = []store.Attr{{Name: store.AttrDue, Value: store.Int(op.Set[0].Value.Num() - margins.Grace.Milliseconds())}}
			}
		},
		"a tag does not move": func(op *store.Op) {
			if rowKind(op.Key) == "t" && op.Kind == store.OpPut && op.If[0].Is == store.Equal {
				op.Kind, op.Row = store.OpCheck, nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			plant := func(t store.Table) store.Table {
				return careless{Table: t, changes: func(tx *store.Tx) {
					for i := range tx.Ops {
						changes(&tx.Ops[i])
					}
				}}
			}
			for seed := uint64(1); seed <= 100; seed++ {
				w := newWorld(seed, options{plant: plant})
				w.alone("client", generatorOf(seed).sequence(sequenceLength)...)
				if wrong := w.follow(); wrong != "" {
					t.Logf("seed %d: %s", seed, wrong[strings.LastIndexByte(wrong, '\n')+1:])
					return
				}
			}
			t.Error("not found")
		})
	}
}
