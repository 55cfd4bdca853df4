// SPDX-License-Identifier: Apache-2.0

package diskstore_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"tare/internal/store"
	"tare/internal/store/diskstore"
)

// childVariable names the folder that this binary works on as a child, until it is killed.
const childVariable = "DISKSTORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		say("error", child(context.Background(), dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// child works on a folder and says what was acknowledged: a line of a verb, a name, and for an upload its id.
//
//	commit    the rows of accountTx
//	put       an object, and the rows of accountTx that were committed after it
//	part      an upload that has the name's content and is not finished
//	complete  the same upload, now an object
//	delete    the same object, now gone
func child(ctx context.Context, dir string) error {
	s, err := diskstore.Open(dir, diskstore.Options{LogSize: 256 << 10})
	if err != nil {
		return err
	}
	return share(6, 1<<30, func(i int64) error {
		name := "o" + strings.ToLower(rand.Text())
		switch i % 10 {
		case 0:
			if err := s.Put(ctx, name, strings.NewReader(content(name)), int64(len(content(name)))); err != nil {
				return err
			}
			err = s.Commit(ctx, accountTx(name))
			say("put", name)
			return err
		case 1:
			return childUpload(ctx, s, name, int(i/10%3))
		default:
			err := s.Commit(ctx, accountTx(name))
			say("commit", name)
			return err
		}
	})
}

// childUpload uploads an object in two parts, and goes on to complete it and to delete it.
func childUpload(ctx context.Context, s *diskstore.Store, name string, steps int) error {
	id, err := s.Begin(ctx, name)
	if err != nil {
		return err
	}
	whole := content(name)
	half := int64(len(whole) / 2)
	first, err := s.Part(ctx, name, id, s.Turn(), 1, 0, strings.NewReader(whole[:half]), half)
	if err != nil {
		return err
	}
	second, err := s.Part(ctx, name, id, s.Turn(), 2, half, strings.NewReader(whole[half:]), -1)
	if err != nil {
		return err
	}
	say("part", name, id)
	if steps > 0 {
		if err := s.Complete(ctx, name, id, []store.Part{first, second}); err != nil {
			return err
		}
		say("complete", name, id)
	}
	if steps > 1 {
		say("deleting", name, id)
		if err := s.Delete(ctx, name); err != nil {
			return err
		}
		say("delete", name, id)
	}
	return nil
}

// say writes a line in one piece. A parent that is gone is no matter of the child's.
func say(words ...any) { _, _ = fmt.Fprintln(os.Stdout, words...) }

func content(name string) string { return strings.Repeat(name, 3000) }

// accountTx makes two rows, one of them due, and counts in a third that all transactions share.
func accountTx(name string) store.Tx {
	pad := store.Attr{Name: "pad", Value: store.String(strings.Repeat(name, 20))}
	due := store.Attr{Name: store.AttrDue, Value: store.Int(1)}
	shard := store.Attr{Name: store.AttrShard, Value: store.Int(0)}
	one := []store.Attr{{Name: "n", Value: store.Int(1)}}
	return txOf(name[1:],
		store.Op{Key: store.Key{PK: "left", SK: name}, Kind: store.OpPut, Row: store.NewRow(pad)},
		store.Op{Key: store.Key{PK: "right", SK: name}, Kind: store.OpPut, Row: store.NewRow(pad, due, shard)},
		store.Op{Key: store.Key{PK: "count", SK: "c"}, Kind: store.OpUpdate, Add: one},
	)
}

// acknowledged is what children said, over all their lives.
type acknowledged struct {
	commits map[string]bool
	objects map[string]bool
	uploads map[string]string // name to id
	deleted map[string]bool   // perhaps, while "deleting" was the last word
}

func (a *acknowledged) hear(tb testing.TB, line string) {
	tb.Helper()
	words := strings.Fields(line)
	switch {
	case len(words) == 2 && words[0] == "put":
		a.objects[words[1]] = true
		a.commits[words[1]] = true
	case len(words) == 2 && words[0] == "commit":
		a.commits[words[1]] = true
	case len(words) == 3 && words[0] == "part":
		a.uploads[words[1]] = words[2]
	case len(words) == 3 && words[0] == "complete":
		a.objects[words[1]] = true
	case len(words) == 3 && words[0] == "deleting":
		a.deleted[words[1]] = false
	case len(words) == 3 && words[0] == "delete":
		a.deleted[words[1]] = true
	default:
		tb.Fatalf("a child said %q", line)
	}
}

// live starts a child, listens to so many lines, kills it, and listens to the rest.
func (a *acknowledged) live(tb testing.TB, dir string, lines int) {
	tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	scanner := bufio.NewScanner(out)
	for n := 0; scanner.Scan(); n++ {
		if n == lines {
			if err := cmd.Process.Kill(); err != nil {
				tb.Fatal(err)
			}
		}
		a.hear(tb, scanner.Text())
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
		tb.Fatalf("the child was not killed: %v", err)
	}
}

// check opens the folder and finds what was acknowledged, and of the rest all or nothing.
func (a *acknowledged) check(t *testing.T, dir string) {
	t.Helper()
	s := openStore(t, dir, diskstore.Options{})
	defer closeStore(t, s)
	items := rows(t, s)
	count := map[string]int64{}
	for _, it := range items {
		count[it.Key.PK]++
		if it.Key.PK == "count" {
			count["n"] = it.Row.Num("n")
		} else if got := accountTx(it.Key.SK); it.Row.Text("pad") != got.Ops[0].Row.Text("pad") {
			t.Fatalf("row %v is %v", it.Key, it.Row)
		}
		delete(a.commits, it.Key.SK)
	}
	if count["left"] != count["right"] || count["left"] != count["n"] {
		t.Errorf("transactions are there in part: %v", count)
	}
	if len(a.commits) > 0 {
		t.Errorf("%d commits were acknowledged and are lost: %v", len(a.commits), a.commits)
	}
	wantDue(t, s, count["right"])
	for name := range a.objects {
		_, err := s.Stat(t.Context(), name)
		gone, deleted := a.deleted[name]
		switch {
		case !deleted && err != nil, gone && !isNotFound(err):
			t.Errorf("object %s, deleted %t: %v", name, gone, err)
		case err == nil && readObject(t, s, name) != content(name):
			t.Errorf("object %s has other bytes", name)
		}
	}
	for name, id := range a.uploads {
		if !a.objects[name] {
			finish(t, s, name, id)
		}
	}
	if left := files(t, dir, "tmp"); len(left) > 0 {
		t.Errorf("tmp has %v", left)
	}
}

// finish completes an upload that has all its content. It may have been completed without an answer, and is not there then.
func finish(t *testing.T, s *diskstore.Store, name, id string) {
	t.Helper()
	size := int64(len(content(name)))
	if err := s.Complete(t.Context(), name, id, []store.Part{{Number: 1, Size: size / 2}, {Number: 2, Size: size - size/2}}); err != nil && !isNotFound(err) {
		t.Errorf("upload of %s: %v", name, err)
		return
	}
	if readObject(t, s, name) != content(name) {
		t.Errorf("the upload of %s has other bytes", name)
	}
}

// wantDue fails unless the index has n rows.
func wantDue(t *testing.T, s *diskstore.Store, n int64) {
	t.Helper()
	var got int64
	for after := (store.DueKey{}); ; {
		page, err := s.Due(t.Context(), 0, 1, after, store.MaxLimit)
		if err != nil {
			t.Fatal(err)
		}
		got += int64(len(page))
		if len(page) < store.MaxLimit {
			break
		}
		after = page[len(page)-1]
	}
	if got != n {
		t.Errorf("the index has %d rows, want %d", got, n)
	}
}

// A process is killed at moments that nobody chose, several times in a row: what it acknowledged is there.
func TestKilledProcesses(t *testing.T) {
	dir := t.TempDir()
	for _, lines := range []int{0, 1, 7, 40, 200, 500} {
		a := acknowledged{map[string]bool{}, map[string]bool{}, map[string]string{}, map[string]bool{}}
		a.live(t, dir, lines)
		a.check(t, dir)
	}
}
