// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"tare/internal/store"
)

var concurrentObjectTests = []bucketTest{
	{"ReadersSeeAllOrNothing", func(b *bucket) {
		// One key is put again and again with the same bytes, and deleted: readers find all of them or none.
		data := pattern(1, 200_000)
		stop := make(chan struct{})
		var readers, writers sync.WaitGroup
		for i := range 4 {
			client := []Bucket{b.A, b.B}[i%2].Objects
			writers.Go(func() {
				for range 20 {
					if err := client.Put(b.Context(), "k", strings.NewReader(data), int64(len(data))); err != nil {
						b.Errorf("put: %v", err)
					}
					if i == 0 {
						if err := client.Delete(b.Context(), "k"); err != nil {
							b.Errorf("delete: %v", err)
						}
					}
				}
			})
			readers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						b.readAllOrNothing(client, "k", data)
					}
				}
			})
		}
		writers.Wait()
		close(stop)
		readers.Wait()
		if b.Failed() {
			return
		}
		b.put("k", data)
		b.wantObject("k", data)
	}},
	{"DistinctKeys", func(b *bucket) {
		var wg sync.WaitGroup
		for i := range 8 {
			client := []Bucket{b.A, b.B}[i%2].Objects
			wg.Go(func() {
				for j := range 10 {
					key, data := fmt.Sprintf("same/dir/%d-%d", j, i), pattern(i*100+j, 1000)
					if err := client.Put(b.Context(), key, strings.NewReader(data), int64(len(data))); err != nil {
						b.Errorf("put: %v", err)
					}
				}
			})
		}
		wg.Wait()
		for i := range 8 {
			for j := range 10 {
				b.wantObject(fmt.Sprintf("same/dir/%d-%d", j, i), pattern(i*100+j, 1000))
			}
		}
		if got := b.walkObjects("same/", "", 7); len(got) != 80 {
			b.Fatalf("list shows %d keys, want 80", len(got))
		}
	}},
}

// readAllOrNothing reads an object that is put and deleted meanwhile.
func (b *bucket) readAllOrNothing(client store.Objects, key, data string) {
	r, err := client.Open(b.Context(), key, 0, -1)
	if errors.Is(err, store.ErrNotFound) {
		return
	}
	if err != nil {
		b.Errorf("open: %v", err)
		return
	}
	got, err := io.ReadAll(r)
	if string(got) != data && (err == nil || !strings.HasPrefix(data, string(got))) {
		b.Errorf("a reader found %d bytes of %d that differ, error %v", len(got), len(data), err)
	}
	if err := r.Close(); err != nil {
		b.Errorf("close: %v", err)
	}
}
