// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Key addresses a row: PK names its partition, SK its place in the partition's order (byte by byte). Both are UTF-8.
type Key struct{ PK, SK string }

func (k Key) String() string { return k.PK + " " + k.SK }

// Compare orders keys by partition, then by place.
func (k Key) Compare(o Key) int {
	if c := strings.Compare(k.PK, o.PK); c != 0 {
		return c
	}
	return strings.Compare(k.SK, o.SK)
}

// Kind is the type of a [Value].
type Kind uint8

// The kinds. The zero Kind is no value at all. The numbers are stored on disk and never change.
const (
	KindString Kind = 1 + iota
	KindInt
	KindBytes
)

// Value is a string, a 64-bit integer or bytes. It is immutable and comparable with ==.
type Value struct {
	kind Kind
	n    int64
	s    string // string and bytes
}

// String makes a string value. Tables take UTF-8 only.
func String(s string) Value { return Value{kind: KindString, s: s} }

// Int makes an integer value.
func Int(n int64) Value { return Value{kind: KindInt, n: n} }

// Bytes makes a bytes value. The bytes are held as a Go string so that rows can be shared without copies.
func Bytes(b string) Value { return Value{kind: KindBytes, s: b} }

// Kind tells the value's type; 0 for the zero Value.
func (v Value) Kind() Kind { return v.kind }

// Text returns the content of a string or bytes value, and "" for an integer.
func (v Value) Text() string { return v.s }

// Num returns the content of an integer value, and 0 for any other.
func (v Value) Num() int64 { return v.n }

// size is what DynamoDB counts for the value: at most 21 bytes for a number, the length for others.
func (v Value) size() int {
	if v.kind == KindInt {
		return 21
	}
	return len(v.s)
}

// Attr is a named value.
type Attr struct {
	Name  string
	Value Value
}

// allowed checks the name, and a value that is a string.
func (a Attr) allowed() error {
	if a.Value.kind == KindString && !utf8.ValidString(a.Value.s) {
		return errNoText
	}
	return allowedName(a.Name)
}

// allowedName checks the name of an attribute that is none of the key.
func allowedName(name string) error {
	switch {
	case name == attrPK || name == attrSK:
		return fmt.Errorf("an attribute %q, which is the key's", name)
	case !utf8.ValidString(name):
		return errNoText
	}
	return nil
}

// The attributes that hold the key of a row. No other attribute has these names.
const (
	attrPK = "pk"
	attrSK = "sk"
)

// The attributes that the index of [Table.Due] is made of. A row is in the index while it has both.
const (
	AttrDue   = "due"   // integer: milliseconds since 1970
	AttrShard = "shard" // integer: which slice of the index holds the row
)

// Row is the attributes of a row without its key: sorted by name, names distinct, never empty of meaning: a row
// without attributes exists. A nil Row is an absent one. Rows are shared and must not be modified.
type Row []Attr

// NewRow sorts attrs into a row. Zero Values are left out, so that an optional attribute can be written inline.
func NewRow(attrs ...Attr) Row {
	r := make(Row, 0, len(attrs))
	for _, a := range attrs {
		if a.Value.kind != 0 {
			r = append(r, a)
		}
	}
	slices.SortFunc(r, func(a, b Attr) int { return strings.Compare(a.Name, b.Name) })
	return r
}

// Get returns the named value, or the zero Value where the row has none.
func (r Row) Get(name string) Value {
	for i := range r {
		if r[i].Name == name {
			return r[i].Value
		}
	}
	return Value{}
}

// Has tells whether the row has the attribute.
func (r Row) Has(name string) bool { return r.Get(name).kind != 0 }

// Text returns the named string or bytes, "" where there is none.
func (r Row) Text(name string) string { return r.Get(name).s }

// Num returns the named integer, 0 where there is none.
func (r Row) Num(name string) int64 { return r.Get(name).n }

// Equal tells whether two rows have the same attributes, and both or neither are there.
func (r Row) Equal(o Row) bool { return (r == nil) == (o == nil) && slices.Equal(r, o) }

// Size is what DynamoDB would count for the row under key k, in bytes: names and values.
func (r Row) Size(k Key) int {
	n := len(attrPK) + len(k.PK) + len(attrSK) + len(k.SK)
	for i := range r {
		n += len(r[i].Name) + r[i].Value.size()
	}
	return n
}

// set returns a copy of the row with the attribute replaced or added.
func (r Row) set(a Attr) Row {
	i, ok := slices.BinarySearchFunc(r, a.Name, func(x Attr, name string) int { return strings.Compare(x.Name, name) })
	if ok {
		c := slices.Clone(r)
		c[i] = a
		return c
	}
	return slices.Insert(slices.Clone(r), i, a)
}

// remove returns a copy of the row without the attribute; the row itself where it has none.
func (r Row) remove(name string) Row {
	if !r.Has(name) {
		return r
	}
	return slices.DeleteFunc(slices.Clone(r), func(a Attr) bool { return a.Name == name })
}
