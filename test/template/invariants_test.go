// SPDX-License-Identifier: Apache-2.0

package template

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

const file = "../../template.yaml"

var update = flag.Bool("update", false, "take what the template has into released.json")

func TestInvariants(t *testing.T) {
	stack, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		release(t, stack)
	}
	for _, line := range check(t, stack) {
		t.Error(line)
	}
}

// A fault of each kind that an invariant is there for is found, and is called by its name.
func TestInvariantsFindFaults(t *testing.T) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range Faults() {
		if fault.Gate != Invariants {
			continue
		}
		planted, err := fault.Plant(string(text))
		if err != nil {
			t.Error(err)
			continue
		}
		stack, err := Parse([]byte(planted))
		if err != nil {
			t.Errorf("%s: %v", fault.Name, err)
			continue
		}
		if found := strings.Join(check(t, stack), "\n"); !strings.Contains(found, fault.Says) {
			t.Errorf("%s was not found. What was:\n%s", fault.Name, found)
		}
	}
}

func TestWhatCloudFormationCannotRead(t *testing.T) {
	for _, text := range []string{
		"Resources:\n  A: {Type: B}\n  A: {Type: B}\n",
		"Resources:\n  A: &a {Type: B}\n  B: *a\n",
		"",
	} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func check(t *testing.T, stack Template) []string {
	t.Helper()
	doors, err := Doors("../../functions")
	if err != nil {
		t.Fatal(err)
	}
	released, err := ReadReleased("released.json")
	if err != nil {
		t.Fatal(err)
	}
	return Check(stack, doors, released)
}

// release adds to what was released; what is there stays, unless a person edits the file.
func release(t *testing.T, stack Template) {
	t.Helper()
	now := Release(stack)
	if before, err := ReadReleased("released.json"); err == nil {
		maps.Copy(now.Resources, before.Resources)
		now.Table = before.Table
	}
	text, err := json.MarshalIndent(now, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("released.json", append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// What the doors read is found through what they share, and no further.
func TestDoors(t *testing.T) {
	doors, err := Doors("testdata/functions")
	if err != nil {
		t.Fatal(err)
	}
	for door, want := range map[string][]string{"one": {"TARE_BOTH", "TARE_ONE"}, "two": {"TARE_BOTH", "TARE_DEEP"}} {
		if !slices.Equal(doors[door], want) {
			t.Errorf("%s reads %v, want %v", door, doors[door], want)
		}
	}
}
