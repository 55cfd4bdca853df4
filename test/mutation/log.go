// SPDX-License-Identifier: Apache-2.0

package main

const (
	replayFile     = "internal/store/diskstore/replay.go"
	overlayFile    = "internal/store/diskstore/overlay.go"
	segmentFile    = "internal/store/diskstore/segment.go"
	recordFile     = "internal/store/diskstore/record.go"
	checkpointFile = "internal/store/diskstore/checkpoint.go"
	committerFile  = "internal/store/diskstore/commit.go"
)

// logFaults are those of the embedded store's log: of what keeps A1 on a disk.
func logFaults() []fault {
	return []fault{
		{
			name: "log-of-one-epoch", invariant: "A1", file: replayFile,
			from: "\tm.epoch = newEpoch()\n",
			to:   "\tif m.epoch == 0 {\n\t\tm.epoch = newEpoch()\n\t}\n",
			why:  "what an earlier process left in the log is taken for what this one wrote",
		},
		{
			name: "log-is-applied-again", invariant: "A1", file: replayFile,
			from: "if r.sequence <= m.applied {",
			to:   "if r.sequence < m.applied {",
			why:  "a log that the table has is taken for a damaged one",
		},
		{
			name: "log-in-any-order", invariant: "A1", file: replayFile,
			from: "return int(min(max(int64(a.first())-int64(b.first()), -1), 1))",
			to:   "return 0",
			why:  "the newer file is applied before the older one",
		},
		{
			name: "log-is-not-looked-behind", invariant: "A1", file: replayFile,
			from: "for ; at < int64(len(b)); at += blockSize {",
			to:   "for ; at < 0; at += blockSize {",
			why:  "an acknowledged record that is damaged goes unnoticed, and all behind it with it",
		},
		{
			name: "log-has-a-gap", invariant: "A1", file: replayFile,
			from: "if r.sequence != m.applied+1 {",
			to:   "if false {",
			why:  "an acknowledged record that is damaged goes unnoticed",
		},
		{
			name: "log-without-checksums", invariant: "A1", file: recordFile,
			from: "end > int64(len(b)) || binary.BigEndian.Uint32(b) != crc32.Checksum(b[4:end], crc32.MakeTable(crc32.Castagnoli))",
			to:   "end > int64(len(b)) || crc32.Size == 0",
			why:  "a record that was written in part is applied",
		},
		{
			name: "log-is-not-synced", invariant: "A1", file: segmentFile,
			from: `	if err := s.sync.file(s.file); err != nil {
		return &failure{err}
	}
	return nil
}

// read returns`,
			to: `	return nil
}

// read returns`,
			why: "the power goes, and takes what was acknowledged",
		},
		{
			name: "marks-before-the-last-slice", invariant: "A1", file: checkpointFile,
			from: "if err != nil || !done {",
			to:   "if err != nil {",
			why:  "a checkpoint is interrupted, and the rest of its rows is never written",
		},
		{
			name: "checkpoint-does-not-wait-for-the-group", invariant: "A1", file: checkpointFile,
			from: "\tc.drain()\n\tif c.frozen != nil && c.frozen.wait() != nil {\n\t\tc.freeze",
			to:   "\tif c.frozen != nil && c.frozen.wait() != nil {\n\t\tc.freeze",
			why:  "what is decided and not yet durable is left out of both layers",
		},
		{
			name: "segment-is-used-before-the-table-has-it", invariant: "A1", file: checkpointFile,
			from: "\t<-c.done\n",
			to:   "",
			why:  "the process dies, and what the table lacks is overwritten",
		},
		{
			name: "reader-of-two-generations", invariant: "A1", file: overlayFile,
			from: "if o.now.Load().number == g.number {",
			to:   "if g.number >= 0 {",
			why:  "a reader sees half of a transaction, or goes back in time",
		},
		{
			name: "readers-see-what-is-not-durable", invariant: "A1", file: committerFile,
			from: `	if err := g.place.write(g.record); err != nil {
		return c.die(err)
	}
	c.overlay.publish(g.layer)
`,
			to: `	c.overlay.publish(g.layer)
	if err := g.place.write(g.record); err != nil {
		return c.die(err)
	}
`,
			why: "what somebody has read is gone after a crash",
		},
		{
			name: "answer-before-the-sync", invariant: "A1", file: committerFile,
			from: "\t\terr := c.write(g)\n\t\tg.answer(err)\n",
			to:   "\t\tg.answer(nil)\n\t\terr := c.write(g)\n",
			why:  "what is acknowledged is not durable",
		},
		{
			name: "refused-group-keeps-its-tokens", invariant: "C8", file: committerFile,
			from: "\tc.tokens.undo(g.applied + c.group.applied)\n",
			to:   "",
			why:  "a transaction that did not happen, for lack of room, is told to have happened when it is repeated",
		},
		{
			name: "refused-group-keeps-its-rows", invariant: "A1", file: committerFile,
			from: "\tc.active = c.overlay.now.Load().active.copy()\n",
			to:   "",
			why:  "a transaction that did not happen, for lack of room, is seen by those after it",
		},
		{
			name: "refused-group-keeps-its-sequence", invariant: "A1", file: committerFile,
			from: "\tc.log.giveBack(g.place)\n",
			to:   "",
			why:  "the log has a gap behind which nothing is believed",
		},
	}
}
