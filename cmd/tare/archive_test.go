// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	"tare/internal/store"
)

// archived collects what an archive holds.
type archived struct {
	rows    map[store.Key]store.Row
	objects map[string]string
}

func readAll(b []byte) (archived, archiveSummary, error) {
	got := archived{make(map[store.Key]store.Row), make(map[string]string)}
	sum, err := readArchive(bytes.NewReader(b), archiveSink{
		header: func(archiveHeader) error { return nil },
		row:    func(it store.Item) error { got.rows[it.Key] = it.Row; return nil },
		object: func(key string, size int64, r io.Reader) error {
			content, err := io.ReadAll(r)
			got.objects[key] = string(content)
			return err
		},
	})
	return got, sum, err
}

// sample is an archive with a few rows, enough of them to fill several entries when big, and two objects.
func sample(t testing.TB, big bool) ([]byte, archived) {
	t.Helper()
	want := archived{
		rows: map[store.Key]store.Row{
			{PK: "n", SK: "app"}:        store.NewRow(store.Attr{Name: "created", Value: store.Int(-5)}, store.Attr{Name: "empty", Value: store.String("")}),
			{PK: "y#app", SK: "sha256"}: store.NewRow(store.Attr{Name: "body", Value: store.Bytes("\x00\xff\n")}, store.Attr{Name: "none", Value: store.Bytes("")}, store.Attr{Name: "s", Value: store.String("é\"<\n")}),
			{PK: "bare", SK: "x"}:       {},
		},
		objects: map[string]string{"o4xyz": strings.Repeat("content", 1000), "oempty": ""},
	}
	if big {
		for i := range 30 {
			want.rows[store.Key{PK: "big", SK: string(rune('a' + i))}] = store.NewRow(store.Attr{Name: "b", Value: store.Bytes(strings.Repeat("x", 300<<10))})
		}
	}
	var b bytes.Buffer
	w, err := newArchiveWriter(&b, archiveHeader{Version: "test", Created: time.Unix(1e9, 0).UTC()})
	if err != nil {
		t.Fatal(err)
	}
	for k, r := range want.rows {
		if err := w.row(store.Item{Key: k, Row: r}); err != nil {
			t.Fatal(err)
		}
	}
	for k, c := range want.objects {
		if err := w.object(k, int64(len(c)), strings.NewReader(c)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), want
}

func TestArchive(t *testing.T) {
	for name, big := range map[string]bool{"small": false, "several entries of rows": true} {
		t.Run(name, func(t *testing.T) {
			b, want := sample(t, big)
			got, sum, err := readAll(b)
			if err != nil {
				t.Fatal(err)
			}
			if sum.Rows != int64(len(want.rows)) || sum.Objects != int64(len(want.objects)) || sum.Bytes != 7000 {
				t.Errorf("got %+v", sum)
			}
			for k, r := range want.rows {
				if !r.Equal(got.rows[k]) {
					t.Errorf("row %v: got %v, want %v", k, got.rows[k], r)
				}
			}
			for k, c := range want.objects {
				if got.objects[k] != c {
					t.Errorf("object %s differs", k)
				}
			}
		})
	}
}

func TestArchiveCutAnywhere(t *testing.T) {
	b, _ := sample(t, false)
	// The archive ends with two empty blocks, which nothing depends on.
	for n := 0; n <= len(b)-2*512-512; n += 101 {
		if _, _, err := readAll(b[:n]); err == nil {
			t.Fatalf("cut after %d of %d bytes and accepted", n, len(b))
		} else if !errors.Is(err, errIncomplete) {
			t.Fatalf("cut after %d of %d bytes: %v", n, len(b), err)
		}
	}
}

func TestArchiveAltered(t *testing.T) {
	b, _ := sample(t, false)
	at := bytes.Index(b, []byte("contentcontent"))
	b[at+100] ^= 1
	if _, _, err := readAll(b); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("got %v", err)
	}
}

// What follows the end is padding or a fault: two backups in one file are not one.
func TestArchiveWithMoreBehind(t *testing.T) {
	b, _ := sample(t, false)
	for name, more := range map[string]string{
		"text":              "more",
		"a block of text":   strings.Repeat("more", 256),
		"another backup":    string(b),
		"text behind zeros": strings.Repeat("\x00", 1<<16) + "more",
		"zeros for ever":    strings.Repeat("\x00", 2<<20),
	} {
		if _, _, err := readAll([]byte(string(b) + more)); !errors.Is(err, errTrailing) {
			t.Errorf("%s: %v", name, err)
		}
	}
	entry, _ := bytes.CutSuffix(b, make([]byte, 1024))
	if _, _, err := readAll([]byte(string(entry) + string(b))); !errors.Is(err, errTrailing) {
		t.Errorf("another entry: %v", err)
	}
	for name, padded := range map[string][]byte{
		"without its last blocks": entry,
		"padded to a record":      append(bytes.Clone(b), make([]byte, 10<<10)...),
	} {
		if _, _, err := readAll(padded); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestArchiveOfSomethingElse(t *testing.T) {
	for name, b := range map[string][]byte{
		"text":       []byte(strings.Repeat("not a tar file\n", 100)),
		"short text": []byte("not a tar file\n"),
		"zeros":      make([]byte, 1024),
		"a few":      make([]byte, 10),
	} {
		if _, _, err := readAll(b); !errors.Is(err, errNotBackup) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestArchiveForeign(t *testing.T) {
	for name, b := range map[string][]byte{
		"a future": bytes.Replace(must(sample(t, false)), []byte(`{"format":1`), []byte(`{"format":2`), 1),
		"renamed":  bytes.Replace(must(sample(t, false)), []byte("objects/oempty"), []byte("objects/../pty"), 1),
	} {
		if _, _, err := readAll(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func must(b []byte, _ archived) []byte { return b }

// The rows come first: what restores an archive has to know which objects they name.
func TestArchiveTurnedRound(t *testing.T) {
	var b bytes.Buffer
	w, err := newArchiveWriter(&b, archiveHeader{})
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(w.object("o4xyz", 1, strings.NewReader("x")), w.row(store.Item{Key: store.Key{PK: "n", SK: "app"}}))
	if _, closeErr := w.close(); err != nil || closeErr != nil {
		t.Fatal(err, closeErr)
	}
	if _, _, err := readAll(b.Bytes()); !errors.Is(err, errNotBackup) {
		t.Errorf("got %v", err)
	}
}

func TestArchiveShortObject(t *testing.T) {
	w, err := newArchiveWriter(io.Discard, archiveHeader{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.object("oshort", 10, strings.NewReader("short")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

// Whatever is accepted as an archive can be written as one, and holds the same then.
func FuzzArchive(f *testing.F) {
	small, _ := sample(f, false)
	f.Add(small)
	f.Add(small[:len(small)/2])
	f.Add(bytes.Replace(small, []byte("PaxHeader"), []byte("PaxHeaden"), 1))
	f.Add([]byte("not a tar file"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, sum, err := readAll(b)
		if err != nil {
			return
		}
		var again bytes.Buffer
		w, err := newArchiveWriter(&again, archiveHeader{})
		if err != nil {
			t.Fatal(err)
		}
		for k, r := range got.rows {
			if err := w.row(store.Item{Key: k, Row: r}); err != nil {
				t.Fatal(err)
			}
		}
		for k, c := range got.objects {
			if err := w.object(k, int64(len(c)), strings.NewReader(c)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.close(); err != nil {
			t.Fatal(err)
		}
		same, _, err := readAll(again.Bytes())
		if err != nil || !maps.Equal(same.objects, got.objects) || !maps.EqualFunc(same.rows, got.rows, store.Row.Equal) {
			t.Fatalf("%+v: %v, written again: %v, %v", sum, got, same, err)
		}
	})
}

// A line of an archive that is a row is written as the same row.
func FuzzArchivedRow(f *testing.F) {
	for _, line := range []string{
		`{"pk":"n","sk":"app","row":{"created":{"n":1},"v":{"s":"abc"},"body":{"b":"AP8K"}}}`, `{"pk":"n","sk":"app","row":{}}`, `{"pk":"n","sk":"app"}`, `{}`, `[]`, `null`, ``,
		`{"pk":"n","sk":"app","row":{"a":{"n":-9223372036854775808},"b":{"s":""},"c":{"b":""}}}`, `{"pk":"n","sk":"app","row":{"a":{"n":1.5}}}`,
		`{"pk":"n","sk":"app","row":{"a":{"n":1,"s":"x"}}}`, `{"pk":"n","sk":"app","row":{"a":{}}}`, `{"pk":"n","sk":"app","row":{"a":{"b":"%%"}}}`,
		`{"pk":"\ud800","sk":"\u0000","row":{"\ud800":{"s":"é\u2028<"},"\udc00":{"n":1}}}`,
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var v archivedRow
		if json.Unmarshal([]byte(line), &v) != nil {
			return
		}
		it, err := v.item()
		if err != nil {
			return
		}
		var b bytes.Buffer
		w, err := newArchiveWriter(&b, archiveHeader{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.row(it); err != nil {
			t.Fatal(err)
		}
		if _, err := w.close(); err != nil {
			t.Fatal(err)
		}
		got, _, err := readAll(b.Bytes())
		if same, ok := got.rows[it.Key]; err != nil || !ok || !same.Equal(it.Row) {
			t.Fatalf("%s: %v, written again: %v, %v", line, it, got.rows, err)
		}
	})
}
