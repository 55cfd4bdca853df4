// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tare/internal/refcount"
)

// exits runs a command that has to end with a code, and returns what it printed.
func exits(t *testing.T, want int, args ...string) string {
	t.Helper()
	code, out, stderr := command(t, "", args...)
	if code != want {
		t.Fatalf("%v: exit code %d, want %d\n%s%s", args, code, want, out, stderr)
	}
	return out
}

// theObject is the only file of an object in a data folder.
func theObject(t *testing.T, data string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "objects", "*", "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	return files[0]
}

func TestFsck(t *testing.T) {
	layer := largeLayer("layer ")
	fill := func(s *running) { s.pushImage("team/app", "v1", layer) }
	both(t, fill, func(t *testing.T, data string) {
		says(t, exits(t, exitOK, "fsck", "--data", data), "repositories: 1, objects: 1 (64.0 KiB)", "Nothing is wrong.")
		says(t, exits(t, exitOK, "fsck", "--data", data, "--content", "sample", "--sample", "2"), "blobs and manifests hashed: 2 ")
		exits(t, exitUsage, "fsck", "--data", data, "--content", "some")
		exits(t, exitUsage, "fsck", "--data", data, "--sample", "0")

		object := theObject(t, data)
		if err := os.MkdirAll(filepath.Join(data, "objects", "ost"), 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(data, "objects", "ost", "ostray"), "stray")
		says(t, exits(t, exitShould, "fsck", "--data", data), "C1 should object ostray", "an object without an owner", "tare fsck --repair mends it", "Faults by which content is lost or may get lost: 0; others: 1; repaired: 0.")
		says(t, exits(t, exitOK, "fsck", "--data", data, "--repair"), "repaired: gave it a tombstone", "Faults: 1, all of them repaired.")
		says(t, succeeds(t, "gc", "--data", data), "object without an owner")
		exits(t, exitOK, "fsck", "--data", data)

		writeFile(t, object, strings.Repeat("x", len(layer)))
		exits(t, exitOK, "fsck", "--data", data)
		says(t, exits(t, exitMust, "fsck", "--data", data, "--content", "all", "--repair"), "C3 must blob "+digestOf(layer), "its bytes do not have its digest")
		if err := os.Remove(object); err != nil {
			t.Fatal(err)
		}
		says(t, exits(t, exitMust, "fsck", "--data", data, "--repair"), "C3 must blob "+digestOf(layer), "are not there", "delete the manifests that list it")
	})
	exits(t, exitFailed, "fsck", "--data", shortFolder(t))
}

func TestFsckPrintsJSON(t *testing.T) {
	layer := largeLayer("layer ")
	both(t, func(s *running) { s.pushImage("team/app", "v1", layer) }, func(t *testing.T, data string) {
		if err := os.Remove(theObject(t, data)); err != nil {
			t.Fatal(err)
		}
		decoder := json.NewDecoder(strings.NewReader(exits(t, exitMust, "fsck", "--data", data, "--json", "--content", "all")))
		decoder.DisallowUnknownFields()
		var got findingsOf
		if err := decoder.Decode(&got); err != nil || decoder.More() {
			t.Fatal(err)
		}
		if got.Format != 1 || got.Exit != exitMust || got.Must != 1 || got.Content != "all" || got.Hashed != 2 || len(got.Findings) != 1 {
			t.Fatalf("%+v", got)
		}
		if f := got.Findings[0]; f.Kind != "bytes" || f.Invariant != "C3" || f.Severity != "must" || f.Subject != "b#"+digestOf(layer)+" b" {
			t.Errorf("%+v", f)
		}
	})
}

// A row whose bytes changed on the disk is told, and all others are looked at.
func TestFsckOfADamagedTable(t *testing.T) {
	layer := largeLayer("layer ")
	data := shortFolder(t)
	s := start(t, data)
	s.pushImage("team/app", "v1", layer)
	s.pushImage("team/app", "v2", largeLayer("other "))
	s.stop()
	name := filepath.Join(data, "table.db")
	table, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	// A page of the table may be there twice, the older one free. Behind its key, the row of a link names its object.
	key := []byte("l#team/app\x00" + digestOf(layer))
	if !bytes.Contains(table, key) {
		t.Fatal("no link in the table")
	}
	for at := 0; bytes.Contains(table[at:], key); {
		at += bytes.Index(table[at:], key) + len(key)
		table[at+bytes.Index(table[at:], []byte("object"))] = 'O'
	}
	writeFile(t, name, string(table))
	for _, serves := range []bool{false, true} {
		if serves {
			start(t, data)
		}
		out := exits(t, exitMust, "fsck", "--data", data, "--repair")
		says(t, out, "A1 must blob in repository team/app@"+digestOf(layer), "checksum is wrong", "lost: 1; others: 0;")
	}
}

func TestFsckTellsHowFarItIs(t *testing.T) {
	for want, p := range map[string]refcount.FsckProgress{
		"listing objects: 7 objects":                             {Phase: "listing objects", Done: 7, Unit: "objects"},
		"[....................] hashing: 0 B of 2.0 KiB":         {Phase: "hashing", Total: 2048, Unit: "bytes"},
		"[##########..........] hashing: 1.0 KiB of 2.0 KiB":     {Phase: "hashing", Done: 1024, Total: 2048, Unit: "bytes"},
		"[####################] reading rows: 12 of 11 rows":     {Phase: "reading rows", Done: 12, Total: 11, Unit: "rows"},
		"[#...................] comparing: 1 of 19 repositories": {Phase: "comparing", Done: 1, Total: 19, Unit: "repositories"},
	} {
		if got := describeProgress(p); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
