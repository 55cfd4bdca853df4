// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"tare/internal/store"
)

// A key of the rows' bucket is the partition key with 0x00 written as 01 01 and 0x01 as 01 02, then 0x00, then the sort
// key as it is. Byte order is then the order of [store.Key.Compare], whatever bytes the parts have. The row
// {"t#library/app", "v1"} is at
//
//	t#library/app 00 v1
const (
	keyEnd    = 0x00
	keyEscape = 0x01
	keySlack  = 8 // more than a key takes beside its parts, but for rare ones
)

// appendPK appends the part of a row's key that all rows of the partition share.
func appendPK(b []byte, pk string) []byte {
	for i := range len(pk) {
		if c := pk[i]; c <= keyEscape {
			b = append(b, keyEscape, c+1)
		} else {
			b = append(b, c)
		}
	}
	return append(b, keyEnd)
}

func appendKey(b []byte, k store.Key) []byte {
	return append(appendPK(b, k.PK), k.SK...)
}

var errKeyEncoding = errors.New("a key of no known form")

func decodeKey(b []byte) (store.Key, error) {
	end := bytes.IndexByte(b, keyEnd)
	if end < 0 {
		return store.Key{}, corrupt(errKeyEncoding)
	}
	sk := string(b[end+1:])
	if bytes.IndexByte(b[:end], keyEscape) < 0 {
		return store.Key{PK: string(b[:end]), SK: sk}, nil
	}
	pk := make([]byte, 0, end)
	for i := 0; i < end; i++ {
		c := b[i]
		if c == keyEscape {
			if i++; i == end || b[i] < 1 || b[i] > keyEscape+1 {
				return store.Key{}, corrupt(errKeyEncoding)
			}
			c = b[i] - 1
		}
		pk = append(pk, c)
	}
	return store.Key{PK: string(pk), SK: sk}, nil
}

// A row is stored as
//
//	version   1 byte, rowVersion
//	checksum  4 bytes, big-endian: CRC-32C of the row's key and of all that follows
//	count     uvarint
//	count times:
//	  name    uvarint length, bytes
//	  kind    1 byte, store.Kind
//	  value   an integer: varint; others: uvarint length, bytes
//
// The key is part of the checksum so that a page in the wrong place is noticed, too. The row {due=1, n="x"} is
//
//	01 cccccccc 02 03 "due" 02 02 01 "n" 01 01 "x"
const (
	rowVersion = 1
	rowHeader  = 1 + crc32.Size
	attrSlack  = 12 // more than an attribute takes beside its name and text, but for rare ones
)

// encodeRow returns the stored form of a row under the encoded key.
func encodeRow(key []byte, row store.Row) []byte {
	size := rowHeader + binary.MaxVarintLen16
	for _, a := range row {
		size += len(a.Name) + len(a.Value.Text()) + attrSlack
	}
	b := append(make([]byte, 0, size), rowVersion, 0, 0, 0, 0)
	b = binary.AppendUvarint(b, uint64(len(row)))
	for _, a := range row {
		b = appendText(b, a.Name)
		b = append(b, byte(a.Value.Kind()))
		if a.Value.Kind() == store.KindInt {
			b = binary.AppendVarint(b, a.Value.Num())
		} else {
			b = appendText(b, a.Value.Text())
		}
	}
	binary.BigEndian.PutUint32(b[1:], checksum(key, b[rowHeader:]))
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// checksum is cheap to call: MakeTable returns the table of a known polynomial, which it made once.
func checksum(key, body []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(key, table), table, body)
}

var (
	errChecksum    = errors.New("a row whose checksum is wrong")
	errRowEncoding = errors.New("a row of no known form")
)

// decodeRow reads the stored form of the row under the encoded key. It copies b once: all names and values share that
// copy, so b may change afterwards.
func decodeRow(key, b []byte) (store.Row, error) {
	if len(b) < rowHeader {
		return nil, corrupt(errRowEncoding)
	}
	if b[0] != rowVersion {
		return nil, corrupt(fmt.Errorf("a row of version %d, not %d", b[0], rowVersion))
	}
	if binary.BigEndian.Uint32(b[1:]) != checksum(key, b[rowHeader:]) {
		return nil, corrupt(errChecksum)
	}
	p := parser{b: b[rowHeader:], s: string(b[rowHeader:])}
	n := p.uvarint()
	if n > uint64(len(b)) {
		return nil, corrupt(errRowEncoding)
	}
	row := make(store.Row, n)
	for i := range row {
		row[i].Name = p.text()
		switch kind := store.Kind(p.byte()); kind {
		case store.KindInt:
			row[i].Value = store.Int(p.varint())
		case store.KindString:
			row[i].Value = store.String(p.text())
		case store.KindBytes:
			row[i].Value = store.Bytes(p.text())
		default:
			p.bad = true
		}
		if p.bad {
			return nil, corrupt(errRowEncoding)
		}
	}
	if p.bad || p.at != len(p.b) {
		return nil, corrupt(errRowEncoding)
	}
	return row, nil
}

// parser reads the same bytes as a slice and as a string, from which it cuts texts.
type parser struct {
	b   []byte
	s   string
	at  int
	bad bool
}

func (p *parser) byte() byte {
	if p.at >= len(p.b) {
		p.bad = true
		return 0
	}
	p.at++
	return p.b[p.at-1]
}

func (p *parser) uvarint() uint64 {
	n, size := binary.Uvarint(p.b[p.at:])
	p.advance(size)
	return n
}

func (p *parser) varint() int64 {
	n, size := binary.Varint(p.b[p.at:])
	p.advance(size)
	return n
}

func (p *parser) advance(size int) {
	if size <= 0 {
		p.bad = true
		return
	}
	p.at += size
}

// take returns the next n bytes. They are the parser's.
func (p *parser) take(n uint64) []byte {
	if p.bad || n > uint64(len(p.b)-p.at) {
		p.bad = true
		return nil
	}
	p.at += int(n)
	return p.b[p.at-int(n) : p.at : p.at]
}

func (p *parser) text() string {
	n := p.uvarint()
	if p.bad || n > uint64(len(p.s)-p.at) {
		p.bad = true
		return ""
	}
	p.at += int(n)
	return p.s[p.at-int(n) : p.at]
}
