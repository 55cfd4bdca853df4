// SPDX-License-Identifier: Apache-2.0

// Package load has many clients use a registry at once, as client libraries do it and as raw requests do.
package load

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"tare/test/soak/ledger"
)

// Load is what clients do to one registry, over all the lives of its process.
type Load struct {
	Addr      string            // host and port
	Transport http.RoundTripper // tells Ledger
	Ledger    *ledger.Ledger
	Seed      uint64
	Workers   int
	Most      int  // live manifests from which on more is deleted than pushed
	Largest   int  // bytes of the largest layer
	Additive  bool // clients push, copy and pull, and do nothing else
	// Undelete brings the manifest repository@digest back; nil: nobody does.
	Undelete func(ctx context.Context, target string) error

	mu      sync.Mutex // guards what follows
	rounds  uint64
	done    map[string]*tally
	loose   []blob // that were uploaded for no manifest
	uploads []upload
	deleted []image
	crowded bool
}

// tally counts operations of one kind.
type tally struct{ done, failed int }

// image is a manifest of a repository.
type image struct{ repo, digest string }

// blob is a blob of a repository.
type blob struct{ repo, digest string }

// kept is how many of the things that operations leave for each other are remembered.
const kept = 50

// worker is one client.
type worker struct {
	*Load
	random *rand.Rand
	http   *http.Client
}

// operation is something that a client does.
type operation struct {
	name   string
	weight int
	do     func(*worker, context.Context) error
	adds   bool // it brings a manifest, and is mostly left out when there are many
}

func operations() []operation {
	return []operation{
		{"push image", 30, (*worker).pushImage, true},
		{"push index", 6, (*worker).pushIndex, true},
		{"push wide image", 1, (*worker).pushWide, true},
		{"push long manifest", 2, (*worker).pushLong, true},
		{"push artifact", 8, (*worker).pushArtifact, true},
		{"copy image", 6, (*worker).copyImage, true},
		{"copy tree", 5, (*worker).copyTree, true},
		{"move tag", 8, (*worker).moveTag, false},
		{"move tag if", 4, (*worker).moveTagIf, false},
		{"pull image", 8, (*worker).pullImage, false},
		{"pull artifact", 4, (*worker).pullArtifact, false},
		{"list tags", 1, (*worker).listTags, false},
		{"upload blob", 4, (*worker).uploadBlob, false},
		{"upload blob in parts", 3, (*worker).uploadByRegctl, false},
		{"upload in chunks", 4, (*worker).uploadInChunks, false},
		{"resume upload", 4, (*worker).resumeUpload, false},
		{"look at blob", 5, (*worker).lookAtBlob, false},
		{"delete blob", 3, (*worker).deleteBlob, false},
		{"delete used blob", 1, (*worker).deleteUsedBlob, false},
		{"delete tag", 5, (*worker).deleteTag, false},
		{"delete manifest", 26, (*worker).deleteManifest, false},
		{"undelete", 2, (*worker).undelete, false},
	}
}

// Run has clients at work until the context ends, and returns when all have given up.
func (l *Load) Run(ctx context.Context) {
	l.mu.Lock()
	if l.done == nil {
		l.done = make(map[string]*tally)
	}
	l.rounds++
	round := l.rounds
	l.crowded = l.Ledger.Live() > l.Most
	l.mu.Unlock()
	var working sync.WaitGroup
	for n := range uint64(l.Workers) {
		working.Go(func() {
			w := &worker{l, rand.New(rand.NewPCG(l.Seed, round<<16|n)), &http.Client{Transport: l.Transport}}
			w.work(ctx)
		})
	}
	working.Wait()
}

// breath is how long a client waits after something did not work.
const breath = 5 * time.Millisecond

func (w *worker) work(ctx context.Context) {
	all, sum := operations(), 0
	if w.Additive {
		all = slices.DeleteFunc(all, func(o operation) bool { return !o.adds && !strings.HasPrefix(o.name, "pull ") })
	}
	for _, o := range all {
		sum += o.weight
	}
	for ctx.Err() == nil {
		at := w.random.IntN(sum)
		i := 0
		for at >= all[i].weight {
			at -= all[i].weight
			i++
		}
		if all[i].adds && !w.Additive && w.crowd() && w.random.IntN(4) > 0 {
			continue
		}
		err := all[i].do(w, ctx)
		w.count(all[i].name, err)
		if err != nil {
			pause(ctx, breath)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (w *worker) crowd() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.crowded
}

func (l *Load) count(name string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.done[name]
	if t == nil {
		t = &tally{}
		l.done[name] = t
	}
	if err != nil {
		t.failed++
		return
	}
	t.done++
}

// Operations tells how many operations of each kind succeeded and failed. Most failures are the dead registry's; the
// others are refusals, as of a delete of what another client deleted.
func (l *Load) Operations() map[string][2]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[string][2]int)
	for name, t := range l.done {
		all[name] = [2]int{t.done, t.failed}
	}
	return all
}

// Pushed is how many manifests were pushed so far.
func (l *Load) Pushed() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for name, t := range l.done {
		if strings.HasPrefix(name, "push ") {
			n += t.done
		}
	}
	return n
}

// remember adds to a list that others take from.
func remember[T any](l *Load, list *[]T, v T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(*list) >= kept {
		*list = (*list)[1:]
	}
	*list = append(*list, v)
}

// take takes one from such a list, if there is any.
func take[T any](w *worker, list *[]T) (v T, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(*list) == 0 {
		return v, false
	}
	i := w.random.IntN(len(*list))
	v = (*list)[i]
	*list = slices.Delete(*list, i, i+1)
	return v, true
}

// errNothing says that there is nothing yet to do an operation to.
type errNothing string

func (e errNothing) Error() string { return "there is no " + string(e) }
