// SPDX-License-Identifier: Apache-2.0

package e2e

import (
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
	s := serve(t, access{})
	type push struct {
		name string
		img  image
	}
	pushed := make(chan push) // acknowledged
	var working sync.WaitGroup
	for p := range pushers {
		working.Go(func() {
			for i := 0; ; i++ {
				next := push{name: fmt.Sprintf("team/app%d:%d", p, i)}
				next.img = newImage(t, next.name)
				if cranePush(t, s.endpoint, next.name, next.img) != nil {
					return
				}
				pushed <- next
			}
		})
	}
	var kept []push
	for len(kept) < before {
		kept = append(kept, <-pushed)
	}
	s.kill(t)
	go func() {
		working.Wait()
		close(pushed)
	}()
	for late := range pushed {
		kept = append(kept, late)
	}
	s.restart(t)
	for _, p := range kept {
		if err := cranePull(t, s.endpoint, p.name, p.img); err != nil {
			t.Error(err)
		}
	}
	for p := range pushers {
		name := fmt.Sprintf("team/app%d:again", p)
		img := newImage(t, fmt.Sprintf("team/app%d:%d", p, len(kept)))
		if err := cranePush(t, s.endpoint, name, img); err != nil {
			t.Error(err)
			continue
		}
		if err := cranePull(t, s.endpoint, name, img); err != nil {
			t.Error(err)
		}
	}
}
