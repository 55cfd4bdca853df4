// SPDX-License-Identifier: Apache-2.0

package diskstore

// Limits of a group: what one sync is shared by, and how long its first member waits for the others.
const (
	maxGroup      = 256
	maxGroupBytes = 8 << 20
	// maxSpare is the largest buffer of a record that is kept for another one.
	maxSpare = 1 << 20
)

// group is transactions that share a record of the log.
type group struct {
	members []*request
	applied int    // of the members
	record  []byte // begun
	place   place  // of the record
	layer   *layer // what readers see when the record is durable; nil where there is nothing to write
}

// newGroup returns an empty group, whose record may use a buffer.
func newGroup(buffer []byte) *group { return &group{record: beginRecord(buffer)} }

func (g *group) empty() bool  { return len(g.members) == 0 }
func (g *group) full() bool   { return len(g.members) >= maxGroup || len(g.record) >= maxGroupBytes }
func (g *group) writes() bool { return len(g.record) > recordHeader }

// reuse returns the buffer of a record that is written.
func (g *group) reuse() []byte {
	if cap(g.record) > maxSpare {
		return nil
	}
	return g.record
}

// join adds a transaction whose outcome is known when what it saw is durable.
func (g *group) join(r *request, outcome error) {
	r.err = outcome
	g.members = append(g.members, r)
}

// answer tells the members their outcomes, or that none of it happened.
func (g *group) answer(err error) {
	for _, r := range g.members {
		if err != nil {
			r.err = err
		}
		close(r.answered)
	}
}
