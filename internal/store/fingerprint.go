// SPDX-License-Identifier: Apache-2.0

package store

import (
	"crypto/sha256"
	"encoding/binary"
)

// Fingerprint tells transactions under one token apart: two have the same fingerprint when their operations are the
// same, in the same order. Token and Before are no part of it. Tables that remember tokens keep it beside them; it may
// be stored and never changes.
func (tx Tx) Fingerprint() [sha256.Size]byte {
	n := 0
	for i := range tx.Ops {
		n += tx.Ops[i].size() + 64
	}
	b := make([]byte, 0, n)
	count := func(n int) { b = binary.AppendUvarint(b, uint64(n)) }
	text := func(s string) {
		count(len(s))
		b = append(b, s...)
	}
	value := func(v Value) {
		b = append(b, byte(v.kind))
		b = binary.AppendVarint(b, v.n)
		text(v.s)
	}
	attrs := func(list []Attr) {
		count(len(list))
		for _, a := range list {
			text(a.Name)
			value(a.Value)
		}
	}
	count(len(tx.Ops))
	for i := range tx.Ops {
		op := &tx.Ops[i]
		text(op.Key.PK)
		text(op.Key.SK)
		b = append(b, byte(op.Kind))
		attrs(op.Row)
		attrs(op.Set)
		attrs(op.Add)
		count(len(op.Remove))
		for _, name := range op.Remove {
			text(name)
		}
		count(len(op.If))
		for _, c := range op.If {
			text(c.Attr)
			b = append(b, byte(c.Is))
			value(c.Value)
		}
	}
	return sha256.Sum256(b)
}
