// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"strings"
	"testing"
	"time"

	"tare/internal/clock"
	"tare/internal/oci"
)

// A key of a tag's history says what it is of and when that was, and sorts by time; any other sort key has a time, too, if
// only the zero one.
func FuzzHistoryKey(f *testing.F) {
	for _, sk := range []string{"", "#", "##", "v1#1700000000000#op", "v1#-1#op", "v1#99999999999999999999#op", "v1#1#op#x", "v1# 1#op"} {
		f.Add("team/app", "v1", int64(1_700_000_000_000), "op", sk)
	}
	f.Add("a", "_", int64(1), "", "")
	f.Add("a", strings.Repeat("t", oci.MaxTag), int64(9_999_999_999_998), "op", "")
	f.Fuzz(func(t *testing.T, name, label string, ms int64, operation, sk string) {
		historyTime(sk)
		repo, err := oci.ParseRepository(name)
		tag, e := oci.ParseTag(label)
		if err != nil || e != nil || ms <= 0 || ms >= 9_999_999_999_999 || strings.Contains(operation, "#") {
			return
		}
		k := historyKey(repo, tag, ms, operation)
		if got := historyTime(k.SK).UnixMilli(); got != ms {
			t.Fatalf("%v: %d, want %d", k, got, ms)
		}
		if kind, rest := kindOf(k); kind != kindHistory || rest != name {
			t.Fatalf("%v: %q of %q", k, kind, rest)
		}
		if later := historyKey(repo, tag, ms+1, ""); later.SK <= k.SK || later.PK != k.PK {
			t.Fatalf("%v is not before %v", k, later)
		}
	})
}

func TestIsObject(t *testing.T) {
	l, err := New(Stores{}, clock.NewManual(time.Unix(0, 0)), Config{Margins: DefaultMargins()})
	if err != nil {
		t.Fatal(err)
	}
	key := l.newObject()
	if !IsObject(key) {
		t.Errorf("%q is none", key)
	}
	for _, foreign := range []string{"", "o", "old.tar", key[:26], key + "a", "O" + key[1:], "p" + key[1:], key[:26] + "1", key[:13] + "/" + key[14:], key[:26] + "A", l.newInline()} {
		if IsObject(foreign) {
			t.Errorf("%q is one", foreign)
		}
	}
}
