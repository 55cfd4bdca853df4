// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"math/rand/v2"
	"slices"
)

// recent is how many of the latest manifests are chosen from, half of the time.
const recent = 100

// Pick chooses a manifest of a repository that is there as far as is known, or "".
func (l *Ledger) Pick(random *rand.Rand, repo string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.repo(repo)
	n := len(r.order)
	from := 0
	if random.IntN(2) == 0 {
		from = max(0, n-recent)
	}
	for range 20 {
		if n == 0 {
			return ""
		}
		digest := r.order[from+random.IntN(n-from)]
		if r.manifests[digest].there() {
			return digest
		}
	}
	return ""
}

// there tells what is known last of a register.
func (r *register) there() bool {
	for _, e := range slices.Backward(r.events) {
		if e.sure {
			return e.value != ""
		}
	}
	return false
}

// Live is how many manifests are there as far as is known.
func (l *Ledger) Live() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, r := range l.repos {
		for _, m := range r.manifests {
			if m.there() {
				n++
			}
		}
	}
	return n
}

// Content is what a manifest lists.
func (l *Ledger) Content(repo, digest string) Content {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.repo(repo).manifest(digest).Content
}

// Frozen tells whether answers are believed no more.
func (l *Ledger) Frozen() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.frozen
}
