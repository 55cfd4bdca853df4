// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// A record of the log is what one group of commits changed:
//
//	checksum  4 bytes, big-endian: CRC-32C of all that follows up to the last edit
//	length    4 bytes, big-endian: of the edits
//	epoch     8 bytes, random: of the process that wrote it
//	sequence  8 bytes, big-endian: one more than that of the record before
//	edits     each: bucket, 1 byte; key, uvarint length and bytes; value, uvarint length plus one and bytes, or 0 for none
//
// and zeros up to a multiple of blockSize, so that no write touches a block that has an acknowledged record. The log is
// used again and again: behind its last record it holds older ones, whole or in part. Those of this lap follow one
// another by their sequence, and those of earlier processes have another epoch, which no client can know.
const (
	recordHeader = 24
	blockSize    = 4096
)

// beginRecord makes b an empty record, to append edits to.
func beginRecord(b []byte) []byte { return append(b[:0], make([]byte, recordHeader)...) }

// appendEdit appends an edit to a record that is begun.
func appendEdit(b []byte, e edit) []byte {
	b = append(b, byte(e.in))
	b = append(binary.AppendUvarint(b, uint64(len(e.key))), e.key...)
	if e.value == nil {
		return binary.AppendUvarint(b, 0)
	}
	return append(binary.AppendUvarint(b, uint64(len(e.value))+1), e.value...)
}

// editSize is more than appendEdit appends.
func editSize(e edit) int { return 1 + len(e.key) + len(e.value) + 2*binary.MaxVarintLen32 }

// recordSize is what a record takes in the log whose begun form has n bytes.
func recordSize(n int) int64 { return (int64(n) + blockSize - 1) / blockSize * blockSize }

// endRecord completes a record.
func endRecord(b []byte, epoch, sequence uint64) []byte {
	binary.BigEndian.PutUint32(b[4:], uint32(len(b)-recordHeader))
	binary.BigEndian.PutUint64(b[8:], epoch)
	binary.BigEndian.PutUint64(b[16:], sequence)
	binary.BigEndian.PutUint32(b, checksum(nil, b[4:]))
	return append(b, make([]byte, recordSize(len(b))-int64(len(b)))...)
}

// record is a whole record as it was found.
type record struct {
	sequence uint64
	edits    []byte
	size     int64 // in the log
}

// readRecord returns the record of an epoch that b begins with, if it does.
func readRecord(b []byte, epoch uint64) (record, bool) {
	if len(b) < recordHeader || binary.BigEndian.Uint64(b[8:]) != epoch {
		return record{}, false
	}
	end := recordHeader + int64(binary.BigEndian.Uint32(b[4:]))
	if end > int64(len(b)) || binary.BigEndian.Uint32(b) != crc32.Checksum(b[4:end], crc32.MakeTable(crc32.Castagnoli)) {
		return record{}, false
	}
	return record{binary.BigEndian.Uint64(b[16:]), b[recordHeader:end], recordSize(int(end))}, true
}

var errRecordEncoding = errors.New("a record of the log of no known form")

// each calls fn with the edits of a record in their order. They share its bytes.
func (r record) each(fn func(edit)) error {
	p := parser{b: r.edits}
	for p.at < len(p.b) {
		e := edit{in: bucket(p.byte())}
		e.key = p.take(p.uvarint())
		if n := p.uvarint(); n > 0 {
			e.value = p.take(n - 1)
		}
		if p.bad || e.in != inRows && e.in != inDue {
			return corrupt(errRecordEncoding)
		}
		fn(e)
	}
	return nil
}
