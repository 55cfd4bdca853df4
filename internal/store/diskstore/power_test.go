// SPDX-License-Identifier: Apache-2.0

package diskstore_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"tare/internal/store/diskstore"
)

// powerDisk knows what of a store's table and log is synced, and makes folders as a power cut would leave them: of what
// was written since, some sectors are there and others are not.
type powerDisk struct {
	tb     testing.TB
	dir    string
	acked  atomic.Int64
	cuts   int
	mu     sync.Mutex // one sync at a time: the table is written within its own
	random *rand.Rand
	synced map[string][]byte // by name
}

var powered = []string{"table.db", "log.0", "log.1"}

const (
	sector = 512
	page   = 4096
)

func (d *powerDisk) read(name string) []byte {
	b, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil {
		d.tb.Fatal(err)
	}
	return b
}

// start takes all that is in the folder as synced. What is synced before, while the store is opened, is not looked at.
func (d *powerDisk) start() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.synced = map[string][]byte{}
	for _, name := range powered {
		d.synced[name] = d.read(name)
	}
}

func (d *powerDisk) around(name string, sync func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	file := filepath.Base(name)
	before, known := d.synced[file]
	if !known {
		return sync()
	}
	acked := int(d.acked.Load())
	d.cut(acked, "before a sync of "+file, nil)
	if err := sync(); err != nil {
		return err
	}
	after := d.read(file)
	if name == "table.db" {
		// Within a commit of bbolt: its pages are written and synced, then the page of either number 0 or 1.
		d.cut(acked, "within an update, at its pages", d.mix(page, before, after, 2*page))
		last := bytes.Clone(after)
		if d.random.IntN(2) == 0 {
			copy(last[:2*page], before[:2*page])
		}
		d.cut(acked, "within an update, at its last page", last)
	}
	d.synced[file] = after
	d.cut(acked, "after a sync of "+file, nil)
	return nil
}

// mix returns b or a at random for each unit in which they differ, and a before an offset.
func (d *powerDisk) mix(unit int, a, b []byte, from int) []byte {
	length := len(a)
	if len(b) > len(a) && d.random.IntN(2) == 0 {
		length = len(b)
	}
	mixed := make([]byte, length)
	copy(mixed, a)
	odds := 1 + d.random.IntN(4)
	for at := from; at < min(len(b), length); at += unit {
		if end := min(at+unit, len(b), length); d.random.IntN(4) < odds {
			copy(mixed[at:end], b[at:end])
		}
	}
	return mixed
}

// cut opens what a power cut would leave now, one time of four: all that was acknowledged is there.
func (d *powerDisk) cut(acked int, when string, table []byte) {
	if d.random.IntN(4) > 0 {
		return
	}
	d.cuts++
	dir := filepath.Join(d.dir, "..", fmt.Sprint("cut", d.cuts))
	for _, name := range powered {
		content := table
		if name != "table.db" || table == nil {
			content = d.mix(sector, d.synced[name], d.read(name), 0)
		}
		write(d.tb, dir, name, string(content))
	}
	write(d.tb, dir, "format.json", `{"format":"tare","version":2}`, "objects/.keep", "")
	checked := make(chan struct{})
	go func() { // a test that ends its goroutine must not end the store's
		defer close(checked)
		d.check(dir, acked, when)
	}()
	<-checked
	if err := os.RemoveAll(dir); err != nil {
		d.tb.Error(err)
	}
}

// check fails unless a folder has what was acknowledged, and can be used.
func (d *powerDisk) check(dir string, acked int, when string) {
	opts := diskstore.Options{Clock: busy{}, Headroom: 1}
	s, err := diskstore.Open(dir, opts)
	if err != nil {
		d.tb.Fatalf("a cut %s: %v", when, err)
	}
	n := wantNumbered(d.tb, s, acked, acked+3)
	commitNumbered(d.tb, s, n, n+2)
	closeStore(d.tb, s)
}

// The power goes at any moment, and takes any of what was not synced with it: what was acknowledged stays, in order.
func TestPowerCuts(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			d := &powerDisk{tb: t, dir: filepath.Join(t.TempDir(), "data"), random: rand.New(rand.NewPCG(seed, 0))}
			s, err := diskstore.OpenAround(d.dir, diskstore.Options{Clock: busy{}, LogSize: 64 << 10, Headroom: 1}, d.around)
			if err != nil {
				t.Fatal(err)
			}
			d.start()
			for n := range 80 {
				if err := s.Commit(t.Context(), numberedTx(n)); err != nil {
					t.Fatal(err)
				}
				d.acked.Store(int64(n + 1))
			}
			closeStore(t, s)
			if d.cuts < 30 {
				t.Errorf("the power went %d times", d.cuts)
			}
			if again := openStore(t, d.dir, diskstore.Options{}); wantNumbered(t, again, 80, 80) != 80 {
				t.Error("the folder is not whole")
			}
		})
	}
}
