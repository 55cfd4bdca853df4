// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"bytes"
	"testing"
	"time"

	"tare/internal/clock"
)

// A token stands for the user it was made for until its end, while there is that user; a changed one, or anything else,
// for nobody.
func FuzzToken(f *testing.F) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	p := &passwords{clock: clock.NewManual(now), checked: now}
	p.current.Store(newUsers(map[string][]byte{"alice": []byte("$2y$05$abcdefghijklmnopqrstuuQ2r5yfWqGAq4xIlFHrVOZ0DWxB1MmSe")}))
	g := &Guard{passwords: p, anonymous: true, tokenKey: bytes.Repeat([]byte{7}, 32), clock: p.clock}

	f.Add("", "", now.Unix()+1, uint16(0), uint8(0))
	f.Add("AAAA", "alice", now.Unix(), uint16(3), uint8(1))
	f.Add("\n\r", "alice", now.Unix()+900, uint16(60), uint8('A'^'_'))
	f.Add("====", "bob", int64(1<<63-1), uint16(0), uint8(0))
	f.Add("", "alice", int64(-1<<63), uint16(11), uint8(255))
	f.Fuzz(func(t *testing.T, text, name string, end int64, at uint16, change uint8) {
		if name, ok := g.readToken(text); ok {
			t.Fatalf("%q stands for %q", text, name)
		}
		until := time.Unix(end, 0)
		token := g.makeToken(name, until)
		got, ok := g.readToken(token)
		if want := (name == "" || name == "alice") && now.Before(until); ok != want || ok && got != name {
			t.Fatalf("%q: %q, %v, want %q, %v", token, got, ok, name, want)
		}
		altered := []byte(token)
		altered[int(at)%len(altered)] ^= change
		if name, ok := g.readToken(string(altered)); ok && change != 0 {
			t.Fatalf("%q altered to %q stands for %q", token, altered, name)
		}
	})
}
