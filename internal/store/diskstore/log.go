// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
)

// log is the place of what is committed until the table has it: two segments, of which one takes records while the other
// is kept until the table has what is in it. Each record is durable before the next one is written. It is the
// committer's own.
type log struct {
	segments [2]*segment
	current  int   // index of the segment that takes records
	at       int64 // where in it the next one goes
	epoch    uint64
	sequence uint64 // of the last record
}

// The segments' names in the data folder.
var segmentNames = [...]string{"log.0", "log.1"}

// defaultLogSize bounds memory, too: the overlay has the rows of both segments.
const defaultLogSize = 16 << 20

// makeLog makes what is missing of the log of a folder, and says in its format that it is there.
func makeLog(f *folder, size int64) error {
	for _, name := range segmentNames {
		if err := makeSegment(f, name, size); err != nil {
			return fmt.Errorf("making the log: %w", err)
		}
	}
	if f.version == formatVersion {
		return nil
	}
	return f.writeFormat()
}

// missingLog tells which file of its log a folder lacks, if it does.
func (f *folder) missingLog() (string, bool) {
	for _, name := range segmentNames {
		if _, err := os.Stat(f.join(name)); errors.Is(err, fs.ErrNotExist) {
			return name, true
		}
	}
	return "", false
}

// openLog opens the log of a folder whose table is open, and brings the table up to it. The log is then empty.
func openLog(f *folder, e *engine) (_ *log, err error) {
	l := new(log)
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	for i, name := range segmentNames {
		if l.segments[i], err = openSegment(f, name); err != nil {
			return nil, err
		}
	}
	if l.epoch, l.sequence, err = replay(l.segments[:], e); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *log) close() error {
	var errs []error
	for _, s := range l.segments {
		if s != nil {
			errs = append(errs, s.file.Close())
		}
	}
	return errors.Join(errs...)
}

// fits tells whether the current segment has place for a record of so many bytes.
func (l *log) fits(size int64) bool { return l.at+size <= l.segments[l.current].size }

// turn begins the other segment, whose records the table has.
func (l *log) turn() {
	l.current = 1 - l.current
	l.at = 0
}

// provide makes an empty current segment long enough for a record that is longer than it.
func (l *log) provide(size int64) error {
	if size > math.MaxUint32 {
		return &misuse{errRecordSize}
	}
	return l.segments[l.current].extend(size)
}

var errRecordSize = errors.New("the rows that it leaves are more than a record holds")

// place is where a record goes.
type place struct {
	segment         *segment
	at              int64
	epoch, sequence uint64
}

// take returns the place of the next record.
func (l *log) take(size int64) place {
	l.sequence++
	p := place{l.segments[l.current], l.at, l.epoch, l.sequence}
	l.at += size
	return p
}

// giveBack undoes the last take, whose record was not written.
func (l *log) giveBack(p place) {
	l.sequence--
	l.at = p.at
}

// write makes a record durable in its place.
func (p place) write(b []byte) error {
	return p.segment.write(p.at, endRecord(b, p.epoch, p.sequence))
}
