// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"tare/functions/internal/cloud"
	"tare/internal/clock"
)

const (
	object = "ovdkm4nzk52a2bj56w5fjhl7odi"
	bucket = "amzn-s3-demo-bucket1"
)

// stage plays what is behind the door: uploads that need some calls, and the function itself.
type stage struct {
	need      int // calls until it is settled
	err       error
	invoked   error
	settled   []string
	deadlines []time.Time
	events    []cloud.Settlement
}

func (s *stage) Settle(_ context.Context, id string, deadline time.Time) (bool, error) {
	s.settled, s.deadlines = append(s.settled, id), append(s.deadlines, deadline)
	s.need--
	return s.need > 0, s.err
}

func (s *stage) Invoke(_ context.Context, event any) error {
	s.events = append(s.events, event.(cloud.Settlement))
	return s.invoked
}

func newDoor(s *stage) *door {
	return &door{uploads: s, self: s, bucket: bucket, clock: clock.NewManual(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)), log: slog.New(slog.DiscardHandler)}
}

// created is the event of the documentation, changed.
func created(t *testing.T, replace ...string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/created.json") // S3 User Guide, "EventBridge event message structure"
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer(replace...).Replace(string(b))
	if len(replace) > 0 && changed == string(b) {
		t.Fatalf("%q is not in the event", replace[0])
	}
	return []byte(changed)
}

func TestBothEvents(t *testing.T) {
	for _, payload := range [][]byte{created(t), []byte(`{"tare":"settle","upload":"` + object + `"}`)} {
		s := &stage{need: 1}
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
		if out, err := newDoor(s).Invoke(ctx, payload); err != nil || string(out) != "{}" {
			t.Fatalf("%q, %v", out, err)
		}
		end, _ := ctx.Deadline()
		cancel()
		if len(s.settled) != 1 || s.settled[0] != object || !s.deadlines[0].Equal(end.Add(-reserve)) || len(s.events) > 0 {
			t.Errorf("%s: settled %v until %v", payload, s.settled, s.deadlines)
		}
	}
}

// Work that is left goes on in another call, and in no more than twelve of them.
func TestGoesOn(t *testing.T) {
	for _, need := range []int{2, 12, 13} {
		s := &stage{need: need}
		d := newDoor(s)
		event, calls := created(t), 0
		var err error
		for len(event) > 0 {
			calls++
			s.events = nil
			_, err = d.Invoke(t.Context(), event)
			event = nil
			if len(s.events) > 0 {
				if event, _ = json.Marshal(s.events[0]); err != nil {
					t.Fatal("it failed and goes on")
				}
			}
		}
		if want := min(need, maxTurns); calls != want || (err != nil) != (need > maxTurns) {
			t.Errorf("of %d calls it took %d: %v", need, calls, err)
		}
	}
}

func TestFailures(t *testing.T) {
	cause := errors.New("throttled")
	if _, err := newDoor(&stage{err: cause}).Invoke(t.Context(), created(t)); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if _, err := newDoor(&stage{need: 2, invoked: cause}).Invoke(t.Context(), created(t)); !errors.Is(err, cause) {
		t.Errorf("it could not go on, and said %v", err)
	}
}

func TestWrongEvents(t *testing.T) {
	for _, payload := range [][]byte{
		nil, []byte("null"), []byte("{}"), []byte("[]"), []byte(`{"tare":"settle"}`), []byte(`{"tare":null}`), []byte(`{"tare":""}`),
		[]byte(`{"tare":"sweep","upload":"` + object + `"}`), []byte(`{"tare":"settle","upload":"` + object + `","x":1}`),
		[]byte(`{"tare":"settle","upload":"` + object + `"}{}`), []byte(`{"tare":"settle","upload":"` + object + `","turn":-1}`),
		[]byte(`{"tare":"settle","upload":"../x"}`), []byte(`{"tare":1}`), []byte(`{"tare":"settle","upload":["` + object + `"]}`),
		[]byte(`{"tare":"settle","upload":"` + object + `","detail":{}}`), []byte(`{"Records":[{"s3":{"object":{"key":"` + object + `"}}}]}`),
		created(t, bucket, "another-bucket"), created(t, "CompleteMultipartUpload", "PutObject"), created(t, "aws.s3", "aws.ec2"),
		created(t, "Object Created", "Object Deleted"), created(t, object, ""), created(t, `"key"`, `"Key2"`), created(t, `"detail": {`, `"details": {`),
	} {
		s := &stage{}
		if _, err := newDoor(s).Invoke(t.Context(), payload); err == nil || len(s.settled) > 0 {
			t.Errorf("%s: %v, settled %v", payload, err, s.settled)
		}
	}
}

// What others put into the bucket is told of in the log, and nothing is asked of a store, now or by a retry.
func TestForeignObjects(t *testing.T) {
	for _, key := range []string{"../../x", "backup.tar", "old/" + object, object + ".tmp", "o", strings.ToUpper(object)} {
		s, log := &stage{}, new(strings.Builder)
		d := newDoor(s)
		d.log = slog.New(slog.NewTextHandler(log, nil))
		if _, err := d.Invoke(t.Context(), created(t, object, key)); err != nil || len(s.settled) > 0 || !strings.Contains(log.String(), key) {
			t.Errorf("%s: %v, settled %v, logged %q", key, err, s.settled, log)
		}
	}
}
