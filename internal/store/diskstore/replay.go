// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
)

// marks is what the table knows of the log.
type marks struct {
	epoch   uint64 // of the records that count; 0 when there is no log yet
	applied uint64 // sequence of the last record that the table has
}

// The keys of the marks in their bucket. The values are 8 bytes, big-endian.
const (
	epochKey   = "epoch"
	appliedKey = "applied"
)

var errMarks = errors.New("marks of the log of no known form")

func readMarks(tx *bbolt.Tx) (m marks, err error) {
	b := tx.Bucket([]byte(logBucket))
	if b == nil {
		return m, nil
	}
	for key, to := range map[string]*uint64{epochKey: &m.epoch, appliedKey: &m.applied} {
		switch v := b.Get([]byte(key)); len(v) {
		case 0:
		case 8:
			*to = binary.BigEndian.Uint64(v)
		default:
			return m, corrupt(errMarks)
		}
	}
	return m, nil
}

func (m marks) write(tx *bbolt.Tx) error {
	b, err := tx.CreateBucketIfNotExists([]byte(logBucket))
	if err != nil {
		return err
	}
	return errors.Join(
		b.Put([]byte(epochKey), binary.BigEndian.AppendUint64(nil, m.epoch)),
		b.Put([]byte(appliedKey), binary.BigEndian.AppendUint64(nil, m.applied)))
}

// newEpoch is random, so that neither a record of another life of the folder nor one that a client wrote into a row can
// be taken for one of this life.
func newEpoch() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return max(binary.BigEndian.Uint64(b[:]), 1)
}

// replay writes into the table what the log has and the table has not, and begins a new epoch: no record that is in the
// log now will ever be read again. To be interrupted anywhere does no harm: until the table says that it has the last
// record, all are written again, and a record says what is there afterwards, whatever was before.
func replay(segments []*segment, e *engine) (epoch, sequence uint64, err error) {
	var m marks
	err = viewed(e.db, func(tx *bbolt.Tx) (err error) {
		m, err = readMarks(tx)
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	l := newLayer()
	if m.epoch != 0 {
		if m.applied, err = readLog(segments, m, l); err != nil {
			return 0, 0, err
		}
	}
	m.epoch = newEpoch()
	if err := e.apply(l, m); err != nil {
		return 0, 0, fmt.Errorf("writing the log into the table: %w", err)
	}
	return m.epoch, m.applied, nil
}

// readLog adds what follows in the log to a layer, and returns the last sequence.
func readLog(segments []*segment, m marks, l *layer) (uint64, error) {
	runs := make([]run, len(segments))
	for i, s := range segments {
		b, err := s.read()
		if err != nil {
			return 0, err
		}
		runs[i] = readRun(b, m.epoch)
		runs[i].name = s.file.Name()
	}
	slices.SortFunc(runs, func(a, b run) int {
		return int(min(max(int64(a.first())-int64(b.first()), -1), 1))
	})
	for _, run := range runs {
		for _, r := range run.records {
			if r.sequence <= m.applied {
				continue
			}
			if r.sequence != m.applied+1 {
				return 0, run.damaged(m.applied + 1)
			}
			if err := r.each(l.set); err != nil {
				return 0, err
			}
			m.applied = r.sequence
		}
	}
	for _, run := range runs {
		if run.beyond > m.applied {
			return 0, run.damaged(m.applied + 1)
		}
	}
	return m.applied, nil
}

// run is what a segment has: the records that follow one another from its start.
type run struct {
	name    string
	records []record
	// beyond is the largest sequence of a whole record behind them. It is an earlier one, of another lap, unless one of
	// the run was damaged after it was synced: a record is written only when the one before is durable.
	beyond uint64
}

func readRun(b []byte, epoch uint64) (got run) {
	at := int64(0)
	for at < int64(len(b)) {
		r, ok := readRecord(b[at:], epoch)
		if !ok || len(got.records) > 0 && r.sequence != got.last()+1 {
			break
		}
		got.records = append(got.records, r)
		at += r.size
	}
	for ; at < int64(len(b)); at += blockSize {
		if r, ok := readRecord(b[at:], epoch); ok {
			got.beyond = max(got.beyond, r.sequence)
		}
	}
	return got
}

func (r run) first() uint64 {
	if len(r.records) == 0 {
		return 0
	}
	return r.records[0].sequence
}

func (r run) last() uint64 { return r.records[len(r.records)-1].sequence }

var errLogDamaged = errors.New("the log is damaged: an acknowledged record is unreadable, and a later one is there")

func (r run) damaged(sequence uint64) error {
	return fmt.Errorf("%s, record %d: %w", r.name, sequence, corrupt(errLogDamaged))
}
