// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"tare/internal/store"
)

// appendedTests are for stores without a least part, where parts are appended to one file.
var appendedTests = []bucketTest{
	{"SmallParts", func(b *bucket) {
		u := b.begin("k")
		for i := range 50 {
			u.part(pattern(i, i))
		}
		u.complete()
	}},
	{"NoParts", func(b *bucket) {
		u := b.begin("k")
		u.complete()
	}},
	{"UntilTheReaderEnds", func(b *bucket) {
		u := b.begin("k")
		for i, data := range []string{pattern(1, 100_000), "", "x"} {
			p, err := u.try(strings.NewReader(data), -1)
			wantErr(b, fmt.Sprintf("part %d", i+1), err, nil)
			u.keep(p, data)
		}
		u.complete()
	}},
	{"AnOffsetCutsWhatIsBehind", func(b *bucket) {
		u := b.begin("k")
		u.part("0123456789")
		for _, offset := range []int64{7, 7, 3} {
			p, err := b.A.Multipart.Part(b.Context(), u.key, u.id, b.A.Multipart.Turn(), 2, offset, strings.NewReader("abc"), 3)
			wantErr(b, "part", err, nil)
			if p.Size != 3 {
				b.Fatalf("a part of 3 bytes is answered as %+v", p)
			}
		}
		wantErr(b, "complete", b.A.Multipart.Complete(b.Context(), u.key, u.id, []store.Part{{Number: 1, Size: 3}, {Number: 2, Size: 3}}), nil)
		b.wantObject("k", "012abc")
	}},
	{"AnOffsetBeyondTheEnd", func(b *bucket) {
		u := b.begin("k")
		u.part("0123456789")
		for _, offset := range []int64{11, 1 << 40} {
			_, err := b.A.Multipart.Part(b.Context(), u.key, u.id, b.A.Multipart.Turn(), 2, offset, strings.NewReader("x"), 1)
			wantErr(b, "a part beyond the end", err, store.ErrInvalid)
		}
		u.part("x")
		u.complete()
	}},
	{"AFailedReaderKeepsWhatCame", func(b *bucket) {
		for i, size := range []int64{-1, 100_000} {
			u := b.begin(fmt.Sprint("k", i))
			u.part("head")
			data := pattern(1, 70_000)
			p, err := u.try(failing(data), size)
			wantErr(b, "a part whose reader fails", err, errReader)
			u.keep(p, data)
			p, err = u.try(failing(""), size)
			wantErr(b, "a part whose reader fails at once", err, errReader)
			if p.Size != 0 {
				b.Fatalf("a part of nothing is answered as %+v", p)
			}
			u.part("tail")
			u.complete()
		}
	}},
	{"ACanceledContextKeepsWhatCame", func(b *bucket) {
		// A server's context ends together with the connection that the bytes come from.
		u := b.begin("k")
		u.part("head")
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		data := pattern(1, 70_000)
		r := io.MultiReader(strings.NewReader(data), readerFunc(func([]byte) (int, error) { cancel(); return 0, errReader }))
		p, err := b.A.Multipart.Part(ctx, u.key, u.id, b.A.Multipart.Turn(), 2, int64(len(u.data)), r, -1)
		if !errors.Is(err, context.Canceled) && !errors.Is(err, errReader) {
			b.Fatalf("a part whose client went away: got error %v", err)
		}
		u.keep(p, data)
		u.part("tail")
		u.complete()
	}},
	{"ACanceledContextEndsThePart", func(b *bucket) {
		u := b.begin("k")
		ctx, r := cancelingReader(b)
		_, err := b.A.Multipart.Part(ctx, u.key, u.id, b.A.Multipart.Turn(), 1, 0, r, -1)
		wantCanceled(b, "part", err)
		u.part("again")
		u.complete()
	}},
	{"AShortReaderKeepsWhatCame", func(b *bucket) {
		u := b.begin("k")
		data := pattern(1, 70_000)
		p, err := u.try(strings.NewReader(data), 100_000)
		wantErr(b, "a short part", err, io.ErrUnexpectedEOF)
		u.keep(p, data)
		u.part("the rest")
		u.complete()
	}},
	{"BytesBehindTheLastPartAreCut", func(b *bucket) {
		u := b.begin("k")
		u.part("all that counts")
		_, err := u.try(failing("what nobody knows of"), -1)
		wantErr(b, "a part whose reader fails", err, errReader)
		u.complete()
	}},
	{"ALaterCallEndsAnEarlierOne", func(b *bucket) {
		for _, offset := range []int64{4, 0} {
			u := b.begin(fmt.Sprint("k", offset))
			u.part("head")
			waiting, goOn := make(chan struct{}), make(chan struct{})
			r := io.MultiReader(strings.NewReader("from the earlier one"), readerFunc(func([]byte) (int, error) {
				close(waiting)
				<-goOn
				return 0, io.EOF
			}), strings.NewReader("and more from it"))
			earlier := make(chan error, 1)
			go func() {
				_, err := b.A.Multipart.Part(b.Context(), u.key, u.id, b.A.Multipart.Turn(), 2, 4, r, -1)
				earlier <- err
			}()
			<-waiting
			p, err := b.B.Multipart.Part(b.Context(), u.key, u.id, b.B.Multipart.Turn(), 2, offset, strings.NewReader("later"), 5)
			close(goOn)
			wantErr(b, "the later part", err, nil)
			wantErr(b, "the earlier part", <-earlier, store.ErrConflict)
			u.parts[0].Size, u.data = offset, u.data[:offset]
			u.keep(p, "later")
			u.part("tail")
			u.complete()
		}
	}},
	{"AnEarlierTurnBeginsNoMore", func(b *bucket) {
		u := b.begin("k")
		u.part("head")
		earlier, later := b.A.Multipart.Turn(), b.B.Multipart.Turn()
		p, err := b.B.Multipart.Part(b.Context(), u.key, u.id, later, 2, 4, strings.NewReader("later"), 5)
		wantErr(b, "the later part", err, nil)
		u.keep(p, "later")
		unread := readerFunc(func([]byte) (int, error) {
			b.Error("the part of the earlier turn was read")
			return 0, io.EOF
		})
		for _, turn := range []int64{earlier, later} {
			_, err = b.A.Multipart.Part(b.Context(), u.key, u.id, turn, 2, 4, unread, -1)
			wantErr(b, "a part of a turn that is over", err, store.ErrConflict)
		}
		u.part("tail")
		u.complete()
		_, err = b.A.Multipart.Part(b.Context(), u.key, u.id, earlier, 2, 4, unread, -1)
		wantErr(b, "a part of a turn that is over, after the end", err, store.ErrNotFound)
	}},
	{"ATurnWithoutAPartEndsNothing", func(b *bucket) {
		u := b.begin("k")
		turn := b.A.Multipart.Turn()
		r := io.MultiReader(strings.NewReader("all "), readerFunc(func([]byte) (int, error) {
			b.B.Multipart.Turn()
			return 0, io.EOF
		}), strings.NewReader("of it"))
		p, err := b.A.Multipart.Part(b.Context(), u.key, u.id, turn, 1, 0, r, -1)
		wantErr(b, "part", err, nil)
		u.keep(p, "all of it")
		u.complete()
	}},
	{"ACallIsEndedAfterItsLastByte", func(b *bucket) {
		u := b.begin("k")
		waiting, goOn := make(chan struct{}), make(chan struct{})
		r := io.MultiReader(strings.NewReader("earlier"), readerFunc(func([]byte) (int, error) {
			close(waiting)
			<-goOn
			return 0, io.EOF
		}))
		earlier := make(chan error, 1)
		go func() {
			_, err := b.A.Multipart.Part(b.Context(), u.key, u.id, b.A.Multipart.Turn(), 1, 0, r, -1)
			earlier <- err
		}()
		<-waiting
		u.part("later")
		close(goOn)
		wantErr(b, "the earlier part", <-earlier, store.ErrConflict)
		u.complete()
	}},
	{"AnAbortEndsACall", func(b *bucket) {
		u := b.begin("k")
		waiting, goOn := make(chan struct{}), make(chan struct{})
		r := io.MultiReader(strings.NewReader("some"), readerFunc(func([]byte) (int, error) {
			close(waiting)
			<-goOn
			return 0, io.EOF
		}), strings.NewReader("more"))
		part := make(chan error, 1)
		go func() {
			_, err := b.A.Multipart.Part(b.Context(), u.key, u.id, b.A.Multipart.Turn(), 1, 0, r, -1)
			part <- err
		}()
		<-waiting
		wantErr(b, "abort", b.B.Multipart.Abort(b.Context(), u.key, u.id), nil)
		close(goOn)
		if err := <-part; !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrUnavailable) {
			b.Fatalf("a part of an upload that was aborted meanwhile: got error %v", err)
		}
		u.wantNoUpload()
		b.wantAbsent(u.key)
	}},
}

// numbered stores a part under a number of its own.
func (u *assembly) numbered(number int, data string) store.Part {
	u.Helper()
	p, err := u.A.Multipart.Part(u.Context(), u.key, u.id, u.A.Multipart.Turn(), number, 0, strings.NewReader(data), int64(len(data)))
	wantErr(u, "part", err, nil)
	if p.Number != number || p.Size != int64(len(data)) || p.Mark == "" {
		u.Fatalf("part %d of %d bytes is answered as %+v", number, len(data), p)
	}
	return p
}

// keptApartTests are for stores with a least part, where parts are kept apart by number. Who writes to them never gives a number
// twice, so that nothing is asked of two calls of one number but that the later one replaces the earlier one's part where they
// do not overlap.
var keptApartTests = []bucketTest{
	{"ASmallPartInTheMiddle", func(b *bucket) {
		u := b.begin("k")
		u.part("too small to be followed")
		u.part("last")
		wantErr(b, "complete", b.A.Multipart.Complete(b.Context(), u.key, u.id, u.parts), store.ErrInvalid)
		b.wantAbsent(u.key)
		b.wantPending("", u)
	}},
	{"OtherMarks", func(b *bucket) {
		u := b.begin("k")
		u.part(b.enough(1))
		replaced := u.parts[0]
		u.parts, u.data = nil, ""
		u.part(b.enough(2))
		for _, mark := range []string{"", "none", replaced.Mark} {
			p := u.parts[0]
			p.Mark = mark
			wantErr(b, "complete of a part with another mark", b.A.Multipart.Complete(b.Context(), u.key, u.id, []store.Part{p}), store.ErrInvalid)
		}
		u.complete()
	}},
	{"AnyOrder", func(b *bucket) {
		u := b.begin("k")
		data := []string{b.enough(1), b.enough(2), "last"}
		parts := make([]store.Part, len(data))
		for _, i := range []int{2, 0, 1} {
			p, err := b.A.Multipart.Part(b.Context(), u.key, u.id, b.A.Multipart.Turn(), i+1, int64(i*len(data[0])), strings.NewReader(data[i]), int64(len(data[i])))
			wantErr(b, "part", err, nil)
			parts[i] = p
		}
		u.parts, u.data = parts, strings.Join(data, "")
		u.complete()
	}},
	{"NumbersWithGaps", func(b *bucket) {
		// Numbers are given to requests that come no further.
		u := b.begin("k")
		data := []string{b.enough(1), b.enough(2), "last"}
		for i, number := range []int{3, 7, store.MaxParts} {
			u.parts = append(u.parts, u.numbered(number, data[i]))
		}
		u.data = strings.Join(data, "")
		u.complete()
	}},
	{"PartsThatAreNotNamedAreLeftOut", func(b *bucket) {
		u := b.begin("k")
		u.numbered(1, b.enough(1))
		u.parts = append(u.parts, u.numbered(2, b.enough(2)))
		u.numbered(3, "too small, and not the last")
		u.parts = append(u.parts, u.numbered(4, "last"))
		u.numbered(5, b.enough(5))
		u.data = b.enough(2) + "last"
		u.complete()
		u.wantNoUpload()
	}},
	{"AnEarlierTurnStillWrites", func(b *bucket) {
		// What it writes under its own number replaces nothing.
		u := b.begin("k")
		earlier := b.A.Multipart.Turn()
		u.parts = append(u.parts, u.numbered(2, b.enough(2)))
		_, err := b.A.Multipart.Part(b.Context(), u.key, u.id, earlier, 1, 0, strings.NewReader(b.enough(1)), int64(len(b.enough(1))))
		wantErr(b, "a part of an earlier turn", err, nil)
		u.data = b.enough(2)
		u.complete()
		_, err = b.A.Multipart.Part(b.Context(), u.key, u.id, earlier, 3, 0, strings.NewReader("late"), 4)
		wantErr(b, "a part after the end", err, store.ErrNotFound)
		b.wantObject(u.key, u.data)
	}},
	{"AFailedReaderKeepsNothing", func(b *bucket) {
		u := b.begin("k")
		p, err := u.try(failing(b.enough(1)), int64(len(b.enough(1)))+1)
		wantErr(b, "a part whose reader fails", err, errReader)
		if p != (store.Part{}) {
			b.Fatalf("a part whose reader failed is answered as %+v", p)
		}
		u.part("all")
		u.complete()
	}},
	{"NumbersHaveAnEnd", func(b *bucket) {
		u := b.begin("k")
		_, err := b.A.Multipart.Part(b.Context(), u.key, u.id, b.A.Multipart.Turn(), store.MaxParts+1, 0, strings.NewReader("x"), 1)
		wantErr(b, "a part of a number too high", err, store.ErrInvalid)
	}},
	{"SizeMustBeKnown", func(b *bucket) {
		u := b.begin("k")
		_, err := u.try(strings.NewReader("x"), -1)
		wantErr(b, "a part of unknown size", err, store.ErrInvalid)
	}},
}
