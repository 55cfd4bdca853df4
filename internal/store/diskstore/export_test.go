// SPDX-License-Identifier: Apache-2.0

package diskstore

// OpenAround opens a folder as [Open] does, with around called for everything that is made durable: with its path, or
// "table.db" for an update of the table, and with what would do it.
func OpenAround(dir string, opts Options, around func(name string, sync func() error) error) (*Store, error) {
	return open(dir, opts, &syncer{around: around})
}

// Queued tells how many transactions wait for their answers.
func (s *Store) Queued() int { return int(s.committer.waiting.Load()) }
