// SPDX-License-Identifier: Apache-2.0

package faultstore_test

import (
	"strings"
	"testing"

	"tare/internal/store"
	"tare/internal/store/faultstore"
)

func TestTrace(t *testing.T) {
	var done []string
	w := newWorld(t, faultstore.Options{
		Plan: faultstore.Script(map[int]faultstore.Action{4: faultstore.LoseReply, 5: faultstore.Contended, 14: faultstore.DieAfter}),
		Done: func(c faultstore.Call, err error) {
			word := c.Kind.String()
			if err != nil {
				word += "!"
			}
			done = append(done, word)
		},
	})
	ctx := t.Context()
	other := store.Key{PK: "p", SK: "b\x00"}
	_, _ = w.table.Get(ctx, theKey, other)
	_, _ = w.table.Query(ctx, store.Query{PK: "p", Prefix: "a", Limit: 1})
	_, _ = w.table.Due(ctx, 7, 1, store.DueKey{}, 1)
	dated := []store.Attr{{Name: store.AttrDue, Value: store.Int(1)}, {Name: store.AttrShard, Value: store.Int(1)}}
	both := store.Tx{Token: "one", Ops: []store.Op{
		{Key: theKey, Kind: store.OpPut, Row: dated},
		{Key: store.Key{PK: "p", SK: "c"}, Kind: store.OpUpdate, Add: []store.Attr{{Name: "n", Value: store.Int(1)}}, Remove: []string{store.AttrDue, store.AttrShard}},
		{Key: other, Kind: store.OpCheck, If: []store.Cond{{Is: store.Absent}}},
	}}
	_ = w.table.Commit(ctx, both)
	both.Token, both.Ops = "two", []store.Op{{Key: theKey, Kind: store.OpDelete}, {Key: other, Kind: store.OpUpdate, Set: dated}}
	_ = w.table.Commit(ctx, both)
	_ = w.table.Commit(ctx, store.Tx{Token: "three", Ops: []store.Op{
		{Key: theKey, Kind: store.OpCheck, If: []store.Cond{{Is: store.Absent}}},
	}})
	_, _ = w.table.(store.Scanner).Scan(ctx, store.Key{}, 1)
	_, _ = w.objects.Stat(ctx, "o/1")
	_ = w.objects.Put(ctx, "o/1", strings.NewReader("x"), 1)
	_, _ = w.objects.List(ctx, "o/", "", 1)
	id, _ := w.parts.Begin(ctx, "o/2")
	_, _ = w.parts.Part(ctx, "o/2", id, w.parts.Turn(), 1, 0, strings.NewReader("x"), 1)
	_, _ = w.parts.Pending(ctx, "o/")
	_ = w.parts.Complete(ctx, "o/2", id, nil)
	_ = w.parts.Abort(ctx, "o/2", id)
	const want = `get
	p <a>
	"p b\x00"
query p <a>
due 7
commit [lose reply]: unknown outcome
	put p <a> due
	update p c undue
	check "p b\x00"
commit [contended]: unavailable: contended
	delete p <a>
	update "p b\x00" due
commit: conflict [0]
	check p <a>
scan
stat o/1: not found
put o/1
list o/
begin o/2
part o/2
pending o/
complete o/2 [die after]: faultstore: the process is dead
`
	trace := w.process.Trace()
	if got := trace.Format(func(key string) string { return strings.Replace(key, "a", "<a>", 1) }); got != want {
		t.Errorf("got the trace\n%s\nwant\n%s", got, want)
	}
	if got := strings.ReplaceAll(want, "<a>", "a"); trace.String() != got {
		t.Errorf("got the trace\n%s\nwant\n%s", trace, got)
	}
	if n, commits := trace.Count(), trace.Count(faultstore.Commit, faultstore.Put); n != 14 || commits != 4 {
		t.Errorf("counted %d calls and %d commits and puts, want 14 and 4", n, commits)
	}
	if got := strings.Join(done, " "); got != "get query due commit! commit! commit! scan stat! put list begin part pending complete!" {
		t.Errorf("done: %s", got)
	}
}
