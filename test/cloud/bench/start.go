// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tare/internal/clock"
	"tare/internal/ocihttp"
	"tare/internal/refcount"
	"tare/internal/registry"
	"tare/internal/store/dynamostore"
	"tare/internal/store/s3store"
	"tare/internal/upload"
	"tare/test/cloud/deploy"
	"tare/test/standin"
)

// coldBound is how long functions/api may take from exec to its first answered HEAD of a manifest.
const coldBound = 25 * time.Millisecond

// start measures HEAD of a manifest by tag: by a process that has to be started for it, and by one that waits.
func start(ctx context.Context, b *bench) error {
	rounds, warm := 40, 1000
	if b.short {
		rounds, warm = 5, 50
	}
	if err := b.client.push(ctx, "start/app", "v1", newImage(noise(10<<10))); err != nil {
		return err
	}
	head := func() error {
		_, err := b.client.do(ctx, http.MethodHead, "/v2/start/app/manifests/v1", nil, "", http.StatusOK)
		return err
	}
	var cold, init []time.Duration
	for range rounds {
		if err := b.Lambda.Retire(b.api); err != nil {
			return err
		}
		b.results.take()
		if err := head(); err != nil {
			return err
		}
		for _, r := range b.results.take() {
			if r.Init > 0 {
				cold, init = append(cold, r.Init+r.Took), append(init, r.Init)
			}
		}
	}
	if len(cold) != rounds {
		return fmt.Errorf("%d of %d processes were cold", len(cold), rounds)
	}
	b.client.taken()
	b.results.take()
	for range warm {
		if err := head(); err != nil {
			return err
		}
	}
	var took []time.Duration
	for _, r := range b.results.take() {
		took = append(took, r.Took)
	}
	overHTTP := b.client.taken()
	plain, err := b.plain(ctx, warm)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "| HEAD of a manifest by tag, ms | n | median | p99 | most |\n|---|---|---|---|---|\n")
	for _, row := range []struct {
		name  string
		times []time.Duration
	}{
		{"cold: exec to the first question for an event", init},
		{"cold: exec to the answer", cold},
		{"warm: event to answer", took},
		{"warm: the client's request, through the HTTP API", overHTTP},
		{"the same by a plain handler on the same table, without Lambda, gateway and credential", plain},
	} {
		fmt.Fprintf(b.out, "| %s | %d | %s | %s | %s |\n", row.name, len(row.times),
			ms(quantile(row.times, 0.5)), ms(quantile(row.times, 0.99)), ms(quantile(row.times, 1)))
	}
	if err := b.zips(); err != nil {
		return err
	}
	if median := quantile(cold, 0.5); median > coldBound {
		return fmt.Errorf("a cold start takes %v, more than %v", median, coldBound)
	}
	return nil
}

// plain takes the time of the same requests at the registry's handler, served here, on the same table.
func (b *bench) plain(ctx context.Context, n int) ([]time.Duration, error) {
	keys := credentials.NewStaticCredentialsProvider(standin.AccessKey, standin.SecretKey, "")
	wall := clock.System{}
	table := dynamostore.New(dynamodb.New(dynamodb.Options{Region: standin.Region, BaseEndpoint: aws.String(b.Table.URL), Credentials: keys}),
		b.Engines.Table, dynamostore.Options{Clock: wall})
	objects := s3store.New(s3.New(s3.Options{Region: standin.Region, BaseEndpoint: aws.String(b.Engines.S3), Credentials: keys, UsePathStyle: true}),
		b.Engines.Bucket, s3store.Options{Clock: wall})
	ledger, err := refcount.New(refcount.Stores{Table: table, Objects: objects, Parts: objects}, wall,
		refcount.Config{Margins: refcount.DefaultMargins(), InlineLimit: 4 << 10, Distant: true})
	if err != nil {
		return nil, err
	}
	uploads, err := upload.New(ledger, objects, objects, wall, upload.Options{})
	if err != nil {
		return nil, err
	}
	server := httptest.NewServer(ocihttp.New(registry.New(ledger, uploads, objects, registry.Options{}),
		ocihttp.Options{Clock: wall, Log: slog.New(slog.DiscardHandler)}))
	defer server.Close()
	c := newClient(server.URL, deploy.Credential{})
	for range n {
		if _, err := c.do(ctx, http.MethodHead, "/v2/start/app/manifests/v1", nil, "", http.StatusOK); err != nil {
			return nil, err
		}
	}
	return c.taken(), nil
}

// zipBound is the most bytes of what is deployed of a function.
const zipBound = 6 << 20

// zips tells how large the zips are that are deployed.
func (b *bench) zips() error {
	files, err := filepath.Glob(filepath.Join(b.folder, "*.zip"))
	if err != nil || len(files) == 0 {
		return errors.Join(err, fmt.Errorf("%q has no zips", b.folder))
	}
	fmt.Fprintf(b.out, "\n| zip | bytes |\n|---|---|\n")
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		fmt.Fprintf(b.out, "| %s | %d |\n", filepath.Base(file), info.Size())
		if info.Size() > zipBound {
			err = fmt.Errorf("%s has more than %d bytes", file, zipBound)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
