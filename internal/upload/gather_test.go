// SPDX-License-Identifier: Apache-2.0

package upload_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"tare/internal/oci"
	"tare/internal/store"
	"tare/internal/store/faultstore"
	"tare/internal/upload"
)

// What holds of uploads holds where parts have a least size.
func TestGathered(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"BodyWithAnErrorForTheClient":      TestBodyWithAnErrorForTheClient,
		"BrokenFinish":                     TestBrokenFinish,
		"BrokenPush":                       TestBrokenPush,
		"BrokenWrite":                      TestBrokenWrite,
		"BrokenWriteOfADeadRequest":        TestBrokenWriteOfADeadRequest,
		"BytesThatAreGone":                 TestBytesThatAreGone,
		"Cancel":                           TestCancel,
		"CanceledWrite":                    TestCanceledWrite,
		"EndOfLessThanWasCompleted":        TestEndOfLessThanWasCompleted,
		"EndedUploadStaysClosed":           TestEndedUploadStaysClosed,
		"EveryCrash":                       TestEveryCrash,
		"FinishAfterComplete":              TestFinishAfterComplete,
		"FinishAgain":                      TestFinishAgain,
		"FinishOfNothing":                  TestFinishOfNothing,
		"FullStore":                        TestFullStore,
		"ManyChunks":                       TestManyChunks,
		"ManyChunksForOnePlace":            TestManyChunksForOnePlace,
		"ManyUploadersAtOnce":              TestManyUploadersAtOnce,
		"MaxBlob":                          TestMaxBlob,
		"Offsets":                          TestOffsets,
		"OneBlobTwiceAtOnce":               TestOneBlobTwiceAtOnce,
		"OvertakenBeforeItsFirstByte":      TestOvertakenBeforeItsFirstByte,
		"RepeatedRequestOvertakesTheFirst": TestRepeatedRequestOvertakesTheFirst,
		"RequestSleepsBeforeItsPut":        TestRequestSleepsBeforeItsPut,
		"Room":                             TestRoom,
		"Sizes":                            TestSizes,
		"SlowBody":                         TestSlowBody,
		"SlowSmallBody":                    TestSlowSmallBody,
		"TwoEqualEnds":                     TestTwoEqualEnds,
		"TwoEndsOfDifferentLength":         TestTwoEndsOfDifferentLength,
		"UnreadableHashState":              TestUnreadableHashState,
		"TwoRequestsMeet":                  TestTwoRequestsMeet,
		"Ways":                             TestWays,
		"WrongDigest":                      TestWrongDigest,
		"WrongDigestEndsTheUpload":         TestWrongDigestEndsTheUpload,
	} {
		t.Run(name, test)
	}
}

// newGatheringWorld is a world whose parts have a least size.
func newGatheringWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOf(t, upload.Options{}, least)
}

// Where the bytes of an upload are, after chunks of these sizes: in how many parts, in the tail object and in the row.
func TestWhereBytesAre(t *testing.T) {
	const piece = 2 * least
	for _, c := range []struct {
		chunks            []int
		parts, tail, rest int
	}{
		{[]int{inline}, 0, 0, inline},
		{[]int{inline, 1}, 0, inline + 1, 0},
		{[]int{80, 10, 9}, 0, 80, 19},
		{[]int{80, 10, 60}, 1, 0, 0},
		{[]int{least - 1}, 0, least - 1, 0},
		{[]int{least}, 1, 0, 0},
		{[]int{least / 2, least / 2}, 1, 0, 0},
		{[]int{piece}, 1, 0, 0},
		{[]int{piece + inline}, 1, 0, inline},
		{[]int{piece + inline + 1}, 1, inline + 1, 0},
		{[]int{3*piece + least}, 4, 0, 0},
		{[]int{70, 1000, 70}, 6, 0, 0},
	} {
		t.Run(fmt.Sprint(c.chunks), func(t *testing.T) {
			w := newGatheringWorld(t)
			id, content, at := w.id(), pattern(1, 2000), 0
			for _, n := range c.chunks {
				w.write(id, int64(at), content[at:at+n], -1, at+n)
				at += n
			}
			s := w.session(id)
			if len(s.Parts) != c.parts || int(s.TailSize) != c.tail || len(s.Tail) != c.rest || s.NextTail != "" || s.Burnt != c.parts {
				t.Fatalf("%d parts, tails of %d and %d bytes: %+v", len(s.Parts), s.TailSize, len(s.Tail), s)
			}
			for i, p := range s.Parts {
				if p.Size < least || p.Size > piece || p.Number != i+1 {
					t.Fatalf("parts %+v", s.Parts)
				}
			}
			w.audit()
			w.finish(id, int64(at), content[at:], -1, content)
			w.settle()
		})
	}
}

// An upload whose row can list no more parts, or whose numbers are used up, is told so before anything is stored, keeps what
// it has, and can be finished with it.
func TestTooManyParts(t *testing.T) {
	content := pattern(1, 300)
	for name, fill := range map[string]func(w *world, id string){
		"numbers": func(w *world, id string) {
			s := w.session(id)
			s.Burnt = store.MaxParts
			_, err := w.ledger.Write(t.Context(), s)
			w.must(err)
		},
		"room": func(w *world, id string) {
			s := w.session(id)
			for s.TakesPart() {
				s.Parts = append(s.Parts, store.Part{Number: 9, Mark: strings.Repeat("m", 77)})
			}
			if len(s.Parts) < 2500 {
				t.Errorf("%d parts are too many", len(s.Parts))
			}
			_, err := w.ledger.Write(t.Context(), s)
			w.must(err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newGatheringWorld(t)
			id := w.id()
			w.write(id, 0, content[:100], -1, 100)
			parts := w.session(id).Parts
			fill(w, id)
			for _, n := range []int{100, 200} {
				_, err := w.Write(t.Context(), repo, id, 100, body(content[100:100+n]), int64(n))
				w.mustBe(err, oci.TooLarge)
				_, err = w.Finish(t.Context(), repo, id, digest.FromString(content[:100+n]), 100, body(content[100:100+n]), int64(n))
				w.mustBe(err, oci.TooLarge)
			}
			w.stands(id, 100)
			w.write(id, 100, content[100:199], -1, 199) // it makes no part
			s := w.session(id)
			s.Parts, s.Burnt = parts, 1
			_, err := w.ledger.Write(t.Context(), s)
			w.must(err)
			w.finish(id, 199, content[199:], -1, content)
			w.settle()
		})
	}
}

// A piece is at hand in one piece, so that a store can send it again, and no request holds more than one.
func TestPiecesAreBounded(t *testing.T) {
	w := newGatheringWorld(t)
	id, content := w.id(), pattern(1, 100_000)
	w.write(id, 0, content[:80], -1, 80)
	ahead, most := 80, 0
	r := readerFunc(func(p []byte) (int, error) {
		most = max(most, len(p))
		n := copy(p, content[ahead:])
		ahead += n
		if n == 0 {
			return 0, bytes.ErrTooLarge
		}
		return n, nil
	})
	w.start(func(c faultstore.Call) faultstore.Action {
		if c.Kind == faultstore.Part && ahead-int(w.session(id).Offset) > 2*least {
			t.Errorf("%d bytes are held", ahead-int(w.session(id).Offset))
		}
		return faultstore.Pass
	})
	if _, err := w.Write(t.Context(), repo, id, 80, r, -1); err == nil || most > 2*least {
		t.Fatalf("read %d bytes at once: %v", most, err)
	}
	w.stands(id, len(content))
}
