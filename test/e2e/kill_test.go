// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"sync"
	"testing"
)

// TestKill pushes, kills the registry, starts it again, and pulls.
func TestKill(t *testing.T) {
	s := serve(t, access{})
	img := newImage(t, t.Name())
	if err := cranePush(t, s.endpoint, "team/app:1.0", img); err != nil {
		t.Fatal(err)
	}
	s.kill(t)
	s.restart(t)
	if err := cranePull(t, s.endpoint, "team/app:1.0", img); err != nil {
		t.Fatal(err)
	}
}

// TestKillAmidPushes kills the registry while several clients push. What they were told is there stays, and what they
// were not told can be pushed again.
func TestKillAmidPushes(t *testing.T) {
	const pushers, before = 3, 6
	find(t, "crane")
	s := serve(t, access{})
	type push struct {
		name string
		img  image
		err  error
	}
	pushes := make(chan push) // closed when nobody pushes any more
	var working sync.WaitGroup
	for p := range pushers {
		working.Go(func() {
			for i := 0; ; i++ {
				next := push{name: fmt.Sprintf("team/app%d:%d", p, i)}
				next.img = newImage(t, next.name)
				next.err = cranePush(t, s.endpoint, next.name, next.img)
				pushes <- next
				if next.err != nil {
					return
				}
			}
		})
	}
	go func() {
		working.Wait()
		close(pushes)
	}()
	var kept, lost []push
	for p := range pushes {
		if p.err != nil {
			lost = append(lost, p)
			continue
		}
		kept = append(kept, p)
		if len(kept) == before {
			s.kill(t)
		}
	}
	if len(kept) < before {
		t.Fatalf("%d pushes succeeded, want %d: %v", len(kept), before, lost[0].err)
	}
	s.restart(t)
	for _, p := range kept {
		if err := cranePull(t, s.endpoint, p.name, p.img); err != nil {
			t.Error(err)
		}
	}
	for _, p := range lost {
		if err := errors.Join(cranePush(t, s.endpoint, p.name, p.img), cranePull(t, s.endpoint, p.name, p.img)); err != nil {
			t.Error(err)
		}
	}
}
