// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"testing"

	"tare/internal/store"
)

func TestKeysAreOrderedByTheirBytes(t *testing.T) {
	parts := []string{"\x00", "\x00\x00", "\x00\x01", "\x01", "\x01\x00", "\x01\x01", "\x01\x02", "\x02", "a", "a\x00", "a\x00b", "a\x01", "ab", "b", "\xff", "\xff\xff"}
	var keys []store.Key
	for _, pk := range parts {
		for _, sk := range parts {
			keys = append(keys, store.Key{PK: pk, SK: sk})
		}
	}
	for _, a := range keys {
		encoded := appendKey(nil, a)
		if got, err := decodeKey(encoded); err != nil || got != a {
			t.Fatalf("%q comes back as %q, %v", a, got, err)
		}
		for _, b := range keys {
			if got, want := bytes.Compare(encoded, appendKey(nil, b)), a.Compare(b); got != want {
				t.Fatalf("%q against %q: %d encoded, %d as they are", a, b, got, want)
			}
		}
	}
}

func TestDueKeysAreOrderedByTheirNumbers(t *testing.T) {
	numbers := []int64{math.MinInt64, -1 << 32, -1, 0, 1, 255, 256, 1 << 32, math.MaxInt64}
	type due struct {
		shard, due int64
		key        store.Key
	}
	var all []due
	for _, shard := range numbers {
		for _, d := range numbers {
			all = append(all, due{shard, d, store.Key{PK: "a", SK: "x"}}, due{shard, d, store.Key{PK: "a\x01", SK: "x"}})
		}
	}
	encoded := func(d due) []byte { return dueKey(d.shard, d.due, appendKey(nil, d.key)) }
	if !slices.IsSortedFunc(all, func(a, b due) int { return bytes.Compare(encoded(a), encoded(b)) }) {
		t.Error("the encoding does not keep the order")
	}
	for _, d := range all {
		if !bytes.HasPrefix(encoded(d), appendShard(nil, d.shard)) {
			t.Fatalf("%v does not begin with its shard", d)
		}
		if got, err := decodeDue(encoded(d)); err != nil || got != (store.DueKey{Due: d.due, Key: d.key}) {
			t.Fatalf("%v comes back as %v, %v", d, got, err)
		}
	}
}

func exampleRow() store.Row {
	return store.NewRow(
		store.Attr{Name: "due", Value: store.Int(1)},
		store.Attr{Name: "n", Value: store.String("x")},
	)
}

// The stored form never changes: folders that were written yesterday have it.
func TestRowEncodingIsStable(t *testing.T) {
	for _, c := range []struct {
		name string
		row  store.Row
		want string
	}{
		{"the example", exampleRow(), "01" + "9d3200f1" + "02" + "03647565" + "02" + "02" + "016e" + "01" + "0178"},
		{"no attributes", store.Row{}, "01" + "7196b72e" + "00"},
		{"bytes", store.NewRow(store.Attr{Name: "b", Value: store.Bytes("\x00\xff")}), "01" + "5e64db6c" + "01" + "0162" + "03" + "0200ff"},
	} {
		t.Run(c.name, func(t *testing.T) {
			key := appendKey(nil, store.Key{PK: "t#library/app", SK: "v1"})
			if got := hex.EncodeToString(encodeRow(key, c.row)); got != c.want {
				t.Errorf("encoded as %s, want %s", got, c.want)
			}
		})
	}
}

func TestRowsThatWereNotWrittenAreCorrupt(t *testing.T) {
	key := appendKey(nil, store.Key{PK: "p", SK: "s"})
	good := encodeRow(key, exampleRow())
	resum := func(b []byte) []byte {
		sum := checksum(key, b[rowHeader:])
		return append([]byte{b[0], byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}, b[rowHeader:]...)
	}
	for i := range good {
		for _, bit := range []byte{1, 0x80} {
			bad := bytes.Clone(good)
			bad[i] ^= bit
			if row, err := decodeRow(key, bad); outcome(err) != store.ErrCorrupt {
				t.Errorf("byte %d changed: %v, %v", i, row, err)
			}
		}
	}
	for n := range good {
		if row, err := decodeRow(key, good[:n]); outcome(err) != store.ErrCorrupt {
			t.Errorf("cut to %d bytes: %v, %v", n, row, err)
		}
		if n < rowHeader {
			continue
		}
		if row, err := decodeRow(key, resum(good[:n])); outcome(err) != store.ErrCorrupt {
			t.Errorf("cut to %d bytes, summed again: %v, %v", n, row, err)
		}
	}
	if _, err := decodeRow(appendKey(nil, store.Key{PK: "p", SK: "t"}), good); !errors.Is(err, errChecksum) {
		t.Errorf("a row of another key: %v", err)
	}
	if _, err := decodeRow(key, resum(append(bytes.Clone(good), 0))); !errors.Is(err, errRowEncoding) {
		t.Errorf("a byte too many: %v", err)
	}
}

func FuzzKey(f *testing.F) {
	f.Add("n", "library/app", "n", "library/app2")
	f.Add("a\x00", "\x01", "a", "\x00\x01")
	f.Fuzz(func(t *testing.T, pk, sk, pk2, sk2 string) {
		a, b := store.Key{PK: pk, SK: sk}, store.Key{PK: pk2, SK: sk2}
		if got, err := decodeKey(appendKey(nil, a)); err != nil || got != a {
			t.Fatalf("%q comes back as %q, %v", a, got, err)
		}
		if got := bytes.Compare(appendKey(nil, a), appendKey(nil, b)); got != a.Compare(b) {
			t.Fatalf("%q against %q: %d", a, b, got)
		}
	})
}

// FuzzDecodeKey also decodes keys of the index, which end in keys of rows.
func FuzzDecodeKey(f *testing.F) {
	f.Add([]byte("n\x00library/app"))
	f.Add(dueKey(1, 2, []byte("n\x00a")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := decodeKey(b); err == nil && !bytes.Equal(appendKey(nil, k), b) {
			t.Fatalf("%x is decoded as %q, which is encoded differently", b, k)
		}
		if d, err := decodeDue(b); err == nil && !bytes.HasSuffix(b, appendKey(nil, d.Key)) {
			t.Fatalf("%x is decoded as %v", b, d)
		}
	})
}

func FuzzDecodeRow(f *testing.F) {
	f.Add(encodeRow(nil, exampleRow())[rowHeader:])
	f.Add([]byte{1, 1, 'a', 9})
	f.Fuzz(func(t *testing.T, body []byte) {
		b := append([]byte{rowVersion, 0, 0, 0, 0}, body...)
		sum := checksum(nil, body)
		b[1], b[2], b[3], b[4] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
		row, err := decodeRow(nil, b)
		if err != nil {
			return
		}
		again, err := decodeRow(nil, encodeRow(nil, row))
		if err != nil || !again.Equal(row) {
			t.Fatalf("%x is decoded as %v and comes back as %v, %v", body, row, again, err)
		}
	})
}
