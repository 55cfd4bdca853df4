// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"encoding/binary"

	"tare/internal/store"
)

// The index of due rows is a bucket of its own, kept in step with the rows in the same transactions. Its keys are the
// shard and the due time, 8 bytes each, big-endian with the sign flipped so that byte order is number order, and the
// key of the row as it is in the rows' bucket. The values are empty.
const dueHeader = 16

// appendShard appends the part of an index key that all rows of the shard share.
func appendShard(b []byte, shard int64) []byte { return appendInt(b, shard) }

// dueKey is the index key of the row under the encoded key.
func dueKey(shard, due int64, key []byte) []byte {
	return append(appendInt(appendInt(nil, shard), due), key...)
}

const signBit = 1 << 63

func appendInt(b []byte, n int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(n)^signBit) }

// decodeDue reads the due time and the row's key from an index key of a known shard.
func decodeDue(b []byte) (store.DueKey, error) {
	if len(b) < dueHeader {
		return store.DueKey{}, corrupt(errKeyEncoding)
	}
	k, err := decodeKey(b[dueHeader:])
	return store.DueKey{Due: int64(binary.BigEndian.Uint64(b[dueHeader/2:]) ^ signBit), Key: k}, err
}

// indexed returns the place that a row has in the index, if it has one.
func indexed(row store.Row) (shard, due int64, ok bool) {
	s, d := row.Get(store.AttrShard), row.Get(store.AttrDue)
	return s.Num(), d.Num(), s.Kind() == store.KindInt && d.Kind() == store.KindInt
}
