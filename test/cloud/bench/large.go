// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"tare/internal/direct"
	"tare/internal/oci"
)

// The bucket is so far away from everybody: functions, clients and the rival.
const (
	lineRate = 40_000_000 // bytes a second of one connection
	lineAway = 20 * time.Millisecond
)

// large are layers that go to the bucket past the functions, beside the rival, which takes them in and writes them on. Of each,
// one round after another, in turn: from the first request until a GET of another client is answered. Then, off the clock,
// every byte is pulled and compared.
func large(ctx context.Context, b *bench) error {
	kinds, rounds := []kind{
		{"in parts", 1 << 30, 1, 3},
		{"one PUT", 256 << 20, 1 << 40, 1},
	}, 3
	if b.short {
		kinds[0].size, kinds[1].size, rounds = 100<<20, 20<<20, 1
	}
	rival, err := b.startRival(ctx)
	if err != nil {
		return err
	}
	defer rival.Stop()
	reader, err := b.Mint(ctx, "reader", "pull")
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "The bucket gives a connection %d MB/s, %v away. Seconds, median of %d rounds [least–most].\n\n",
		lineRate/1_000_000, lineAway, rounds)
	fmt.Fprintf(b.out, "| layer | sent | answered | pullable | distribution: answered | pullable | ratio |\n|---|---|---|---|---|---|---|\n")
	var missed []error
	for _, k := range kinds {
		k.name = fmt.Sprintf("%d MiB, %s", k.size>>20, k.name)
		var ours, theirs []visit
		var ratios []float64
		for round := range rounds {
			l, err := newLayer(filepath.Join(b.data, "layer"), k.size, uint64(round))
			if err != nil {
				return err
			}
			mine, err := b.pushDirect(ctx, k, l, func(r *http.Request) { r.SetBasicAuth(reader.Name, reader.Token) })
			if err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			other, err := b.pushRival(ctx, rival.URL, l)
			if err != nil {
				return fmt.Errorf("%s: distribution: %w\n%s", k.name, err, rival.Log())
			}
			if err := l.remove(); err != nil {
				return err
			}
			ours, theirs = append(ours, mine), append(theirs, other)
			fmt.Fprintf(os.Stderr, "%s, round %d: %.1f %.1f %.1f; distribution %.1f %.1f\n", k.name, round+1,
				mine.sent.Seconds(), mine.answered.Seconds(), mine.pullable.Seconds(), other.answered.Seconds(), other.pullable.Seconds())
			ratios = append(ratios, other.pullable.Seconds()/mine.pullable.Seconds())
		}
		slices.Sort(ratios)
		ratio := ratios[len(ratios)/2]
		fmt.Fprintf(b.out, "| %s | %s | %s | %s | %s | %s | %.1f [%.1f–%.1f] |\n", k.name,
			spread(ours, visit.getSent), spread(ours, visit.getAnswered), spread(ours, visit.getPullable),
			spread(theirs, visit.getAnswered), spread(theirs, visit.getPullable), ratio, ratios[0], ratios[len(ratios)-1])
		if ratio < k.least && !b.short {
			missed = append(missed, fmt.Errorf("%s: %.1f times as fast, not %.0f", k.name, ratio, k.least))
		}
	}
	return errors.Join(missed...)
}

// kind is a way in, and a layer that takes it.
type kind struct {
	name      string
	size      int64
	partsFrom int64
	least     float64 // times as fast as the rival, unless the work is little
}

// visit is when a push had come how far.
type visit struct {
	sent     time.Duration // the last byte has left the client
	answered time.Duration // the push has succeeded
	pullable time.Duration // somebody else's GET is answered
}

func (v visit) getSent() time.Duration     { return v.sent }
func (v visit) getAnswered() time.Duration { return v.answered }
func (v visit) getPullable() time.Duration { return v.pullable }

func spread(visits []visit, of func(visit) time.Duration) string {
	times := make([]time.Duration, len(visits))
	for i, v := range visits {
		times[i] = of(v)
	}
	slices.Sort(times)
	return fmt.Sprintf("%.1f [%.1f–%.1f]", times[len(times)/2].Seconds(), times[0].Seconds(), times[len(times)-1].Seconds())
}

// layer is a file of bytes that nobody can compress.
type layer struct {
	file   *os.File
	size   int64
	digest oci.Digest
}

func newLayer(name string, size int64, seed uint64) (layer, error) {
	file, err := os.Create(name)
	if err != nil {
		return layer{}, err
	}
	sum := sha256.New()
	noise := rand.NewChaCha8([32]byte{byte(seed), byte(size >> 20), 1})
	if _, err := io.CopyN(io.MultiWriter(file, sum), noise, size); err != nil {
		return layer{}, errors.Join(err, file.Close())
	}
	// Nobody is to wait for what this wrote.
	return layer{file, size, oci.Digest("sha256:" + hex.EncodeToString(sum.Sum(nil)))}, file.Sync()
}

func (l layer) remove() error { return errors.Join(l.file.Close(), os.Remove(l.file.Name())) }

func (b *bench) pushDirect(ctx context.Context, k kind, l layer, reader func(*http.Request)) (v visit, err error) {
	client, err := direct.New(b.URL, direct.Options{
		PartsFrom: k.partsFrom,
		Authorize: func(r *http.Request) error {
			r.SetBasicAuth(b.client.credential.Name, b.client.credential.Token)
			return nil
		},
	})
	if err != nil {
		return v, err
	}
	begin := time.Now()
	err = client.Push(ctx, "large/app", direct.Blob{Digest: l.digest, Size: l.size, Content: l.file, Progress: func(n int64) {
		if n == l.size {
			v.sent = time.Since(begin)
		}
	}})
	if err != nil {
		return v, err
	}
	v.answered = time.Since(begin)
	return b.pull(ctx, b.URL+"/v2/large/app/blobs/"+string(l.digest), l, reader, begin, v)
}

func (b *bench) pushRival(ctx context.Context, base string, l layer) (v visit, err error) {
	begin := time.Now()
	if err := pushWhole(ctx, base, "large/app", l); err != nil {
		return v, err
	}
	v.answered = time.Since(begin)
	return b.pull(ctx, base+"/v2/large/app/blobs/"+string(l.digest), l, func(*http.Request) {}, begin, v)
}

// pull gets a layer as another client, which ends the clock, and then compares all of it by ranges.
func (b *bench) pull(ctx context.Context, from string, l layer, as func(*http.Request), begin time.Time, v visit) (visit, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: pullers}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		r.Header.Del("Authorization") // the bucket has the host name of the registry here, as it has nowhere else
		return nil
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return v, err
	}
	as(r)
	answer, err := client.Do(r)
	if err != nil {
		return v, err
	}
	first := make([]byte, 1<<10)
	_, err = io.ReadFull(answer.Body, first)
	v.pullable = time.Since(begin)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return v, err
	}
	if answer.StatusCode != http.StatusOK || answer.ContentLength != l.size {
		return v, fmt.Errorf("GET: %s, %d bytes of %d", answer.Status, answer.ContentLength, l.size)
	}
	return v, compare(ctx, client, answer.Request.URL.String(), l)
}

const (
	pullers   = 8
	pullRange = 8 << 20
)

// compare pulls a layer by ranges, several at once, from where its GET was redirected to.
func compare(ctx context.Context, client *http.Client, from string, l layer) error {
	offsets := make(chan int64)
	errs := make([]error, pullers)
	var work sync.WaitGroup
	for i := range pullers {
		work.Go(func() {
			got, want := make([]byte, pullRange), make([]byte, pullRange)
			for at := range offsets {
				size := min(pullRange, l.size-at)
				err := getRange(ctx, client, from, at, got[:size])
				if _, readErr := l.file.ReadAt(want[:size], at); err == nil && readErr == nil && !bytes.Equal(got[:size], want[:size]) {
					err = fmt.Errorf("other bytes came, from %d on", at)
				} else {
					err = errors.Join(err, readErr)
				}
				errs[i] = errors.Join(errs[i], err)
			}
		})
	}
	for at := int64(0); at < l.size; at += pullRange {
		offsets <- at
	}
	close(offsets)
	work.Wait()
	return errors.Join(errs...)
}

func getRange(ctx context.Context, client *http.Client, from string, at int64, into []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", at, at+int64(len(into))-1))
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusPartialContent {
		return errors.Join(errors.New(answer.Status), answer.Body.Close())
	}
	_, err = io.ReadFull(answer.Body, into)
	return errors.Join(err, answer.Body.Close())
}
