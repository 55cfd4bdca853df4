// SPDX-License-Identifier: Apache-2.0

package refcount_test

import (
	"context"
	"fmt"
	"testing"

	"tare/internal/refcount"
	"tare/internal/store"
)

// rows is all that the table has.
func (x *damaged) rows() string {
	x.t.Helper()
	all, after := "", store.Key{}
	for {
		page, err := x.store.Scan(context.Background(), after, 100)
		x.must(err)
		all += fmt.Sprintln(page.Items)
		if !page.More {
			return all
		}
		after = page.Items[len(page.Items)-1].Key
	}
}

// What a damaged row has lost looks like garbage, and what it names like a reference too many. A repair that believed that
// would take the only copy, so that it waits until a person has mended the row (C1, C2, C3).
func TestRepairWaitsForAPerson(t *testing.T) {
	for name, plant := range map[string]func(x *damaged){
		"no blob":                   func(x *damaged) { x.write(gone(blobRow(x.layer))) },
		"no blob of inline bytes":   func(x *damaged) { x.write(gone(blobRow(x.config))) },
		"no links":                  func(x *damaged) { x.write(gone(inRepo("l", x.layer)), gone(at("l#team/other", string(x.layer)))) },
		"a blob without object":     func(x *damaged) { x.write(unset(blobRow(x.layer), "object")) },
		"a manifest without cursor": func(x *damaged) { x.write(unset(inRepo("m", x.image), "cur"), unset(inRepo("m", x.large), "cur")) },
		"a manifest before its end": func(x *damaged) {
			x.write(set(inRepo("m", x.image), "cur", store.Int(0)), set(inRepo("m", x.large), "cur", store.Int(0)))
		},
		"a link of another object": func(x *damaged) {
			x.put("other", big)
			x.write(set(blobRow(x.layer), "object", store.String("other")))
		},
		"a tag without digest": func(x *damaged) {
			x.write(unset(inRepo("t", "v1"), "digest"))
			x.put("stray", "an orphan beside it")
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newDamaged(t)
			plant(x)
			before := x.rows()
			found, report := x.fsck(refcount.FsckOptions{Repair: true})
			if len(found) == 0 || report.Repaired > 0 || !report.Withheld {
				t.Errorf("%+v; found %v", report, found)
			}
			if x.rows() != before {
				t.Error("rows have changed")
			}
		})
	}
	x := newDamaged(t)
	x.put("stray", "an orphan by itself")
	if found, report := x.fsck(refcount.FsckOptions{Repair: true}); report.Repaired != 1 || report.Withheld {
		t.Errorf("%+v; found %v", report, found)
	}
}
