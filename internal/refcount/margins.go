// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"fmt"
	"time"
)

// Margins are the times that the protocol relies on. Each is named for the race that it covers; their inequalities are
// checked at start, since below them an acknowledged blob can be lost (C4) or a signed URL outlive its object (C9).
type Margins struct {
	// Lease is for how long a blob that a client was told of stays without a reference: from its first HEAD or upload
	// to the manifest PUT that needs it. It covers a whole push, not a step.
	Lease time.Duration
	// Grace is when an unreferenced link becomes due. It covers a decrement whose clock was read before another
	// client's HEAD, and lands after it.
	Grace time.Duration
	// UndoWindow is for how long a deleted manifest can be brought back.
	UndoWindow time.Duration
	// UploadTTL is for how long an upload session may stay untouched, and for how long the id of an upload is good.
	UploadTTL time.Duration
	// MaxPut is the longest that one put of an object may take, from its start until it has landed or never will.
	MaxPut time.Duration
	// URLLife is the life of a signed URL.
	URLLife time.Duration
	// TombstoneDelay is when a tombstone becomes due: after every URL that was signed for its object has ended, and
	// after every put that began before has landed.
	TombstoneDelay time.Duration
	// StageLease is for how long a stage stays without progress. It covers progress only, never safety.
	StageLease time.Duration
	// CloseGrace is the longest time from a push's read of the repository row to its commit.
	CloseGrace time.Duration
	// MaxStep is the oldest that a clock reading may be when a commit that relies on it is applied.
	MaxStep time.Duration
	// Skew is the most by which a machine's clock is off true time.
	Skew time.Duration
	// History is for how long the moves of a tag are kept. It exceeds the life of a transaction's token.
	History time.Duration
	// Untagged is when a manifest without tags and parents is deleted; 0 keeps it for ever.
	Untagged time.Duration
}

// DefaultMargins are the times of a deployment that has no reason for others.
func DefaultMargins() Margins {
	return Margins{
		Lease:          12 * time.Hour,
		Grace:          24 * time.Hour,
		UndoWindow:     12 * time.Hour,
		UploadTTL:      24 * time.Hour,
		MaxPut:         6 * time.Hour,
		URLLife:        15 * time.Minute,
		TombstoneDelay: 7 * time.Hour,
		StageLease:     10 * time.Minute,
		CloseGrace:     10 * time.Minute,
		MaxStep:        time.Minute,
		Skew:           30 * time.Second,
		History:        30 * 24 * time.Hour,
	}
}

// Check tells which inequality of the protocol (docs/consistency.md, "Margins") does not hold.
func (m Margins) Check() error {
	slack := m.MaxStep + 2*m.Skew
	for _, rule := range []struct {
		name   string
		value  time.Duration
		least  time.Duration
		reason string
	}{
		{"MaxStep", m.MaxStep, time.Millisecond, "1ms"},
		{"Skew", m.Skew, 0, "0"},
		{"Lease", m.Lease, m.MaxStep, "MaxStep"},
		{"Grace", m.Grace, m.Lease + slack, "Lease + MaxStep + 2·Skew"},
		{"UndoWindow", m.UndoWindow, 0, "0"},
		{"MaxPut", m.MaxPut, m.MaxStep, "MaxStep"},
		{"UploadTTL", m.UploadTTL, m.URLLife + m.MaxPut + slack, "URLLife + MaxPut + MaxStep + 2·Skew"},
		{"URLLife", m.URLLife, 0, "0"},
		{"TombstoneDelay", m.TombstoneDelay, m.URLLife + max(m.MaxStep, m.MaxPut) + slack, "URLLife + MaxPut + MaxStep + 2·Skew"},
		{"StageLease", m.StageLease, 3 * m.MaxStep, "3·MaxStep"},
		{"CloseGrace", m.CloseGrace, slack, "MaxStep + 2·Skew"},
		{"History", m.History, 2 * m.MaxStep, "2·MaxStep"},
		{"Untagged", m.Untagged, 0, "0"},
	} {
		if rule.value < rule.least {
			return fmt.Errorf("margin %s is %v, below %v (%s)", rule.name, rule.value, rule.least, rule.reason)
		}
	}
	if most := m.Grace - slack; m.UndoWindow > most {
		return fmt.Errorf("margin UndoWindow is %v, above %v (Grace − MaxStep − 2·Skew)", m.UndoWindow, most)
	}
	return nil
}
