// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"math"
	"strings"
	"testing"

	"tare/internal/oci"
)

func TestFloorOf(t *testing.T) {
	set := size(5)
	if least, err := floorOf(&set, t.TempDir()); err != nil || least != 5 {
		t.Errorf("a set one: %d, %v", least, err)
	}
	if least, err := floorOf(nil, t.TempDir()); err != nil || least <= 0 || least > defaultFloor {
		t.Errorf("by default: %d, %v", least, err)
	}
}

func TestRoom(t *testing.T) {
	tests := []struct {
		name  string
		left  int64
		bytes int64
		want  string // what the refusal says; "": none
	}{
		{"enough", 1100, 100, ""},
		{"of unknown length", 1000, -1, ""},
		{"one byte too many", 1100, 101, "no room for 101 B"},
		{"as many as there are numbers", 1100, math.MaxInt64, "no room for 8388608.0 TiB"},
		{"below the floor", 999, 1, "nearly full"},
		{"below the floor, of unknown length", 999, -1, "nearly full"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := floor{free: func() (int64, error) { return tt.left, nil }, least: 1000}.room(tt.bytes)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && (oci.CodeOf(err) != oci.NoSpace || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want a refusal that says %q", err, tt.want)
			}
		})
	}
	if err := (floor{free: func() (int64, error) { return 0, errors.New("gone") }, least: 1}).room(1); err != nil {
		t.Errorf("refused for a disk that cannot be asked: %v", err)
	}
}
