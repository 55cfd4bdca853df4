// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"bytes"
	"context"
	"testing"
	"time"

	"tare/internal/clock"
)

// fixedKey is a key that nobody rotates.
type fixedKey []byte

func (k fixedKey) Key(context.Context) ([]byte, error) { return k, nil }

func (k fixedKey) Accepts(_ context.Context, signed func([]byte) bool) (bool, error) {
	return signed(k), nil
}

// A token stands for the user it was made for until its end, while there is that user; a changed one, or anything else,
// for nobody.
func FuzzToken(f *testing.F) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	p := &passwords{clock: clock.NewManual(now), checked: now}
	p.current.Store(newUsers(map[string][]byte{"alice": []byte("$2y$05$abcdefghijklmnopqrstuuQ2r5yfWqGAq4xIlFHrVOZ0DWxB1MmSe")}))
	g := &Guard{users: &passwordUsers{passwords: p}, anonymous: true, tokenKeys: fixedKey(bytes.Repeat([]byte{7}, 32)), clock: p.clock}
	read := func(ctx context.Context, token string) (string, bool) {
		c, ok, err := g.readToken(ctx, token)
		if err != nil {
			f.Fatal(err)
		}
		return c.Name, ok
	}

	f.Add("", "", now.Unix()+1, uint16(0), uint8(0))
	f.Add("AAAA", "alice", now.Unix(), uint16(3), uint8(1))
	f.Add("\n\r", "alice", now.Unix()+900, uint16(60), uint8('A'^'_'))
	f.Add("====", "bob", int64(1<<63-1), uint16(0), uint8(0))
	f.Add("", "alice", int64(-1<<63), uint16(11), uint8(255))
	f.Fuzz(func(t *testing.T, text, name string, end int64, at uint16, change uint8) {
		if name, ok := read(t.Context(), text); ok {
			t.Fatalf("%q stands for %q", text, name)
		}
		until := time.Unix(end, 0)
		token, err := g.makeToken(t.Context(), name, p.users().hash(name), until)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := read(t.Context(), token)
		if want := (name == "" || name == "alice") && now.Before(until); ok != want || ok && got != name {
			t.Fatalf("%q: %q, %v, want %q, %v", token, got, ok, name, want)
		}
		altered := []byte(token)
		altered[int(at)%len(altered)] ^= change
		if name, ok := read(t.Context(), string(altered)); ok && change != 0 {
			t.Fatalf("%q altered to %q stands for %q", token, altered, name)
		}
	})
}
