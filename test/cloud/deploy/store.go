// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"

	"tare/test/cloud/events"
	"tare/test/standin"
)

// startTable starts the stand-in of DynamoDB, makes the table, unless the stack adopts one, and returns the address that
// functions are given. What stands between them and it, from front to back: the judge, the meter, and the faults.
func (d *Deployment) startTable(ctx context.Context) (string, error) {
	if len(d.stack.Tables) > 1 {
		return "", fmt.Errorf("the stack has %d tables", len(d.stack.Tables))
	}
	folder := filepath.Join(d.options.Data, "dynamodb")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	engine, err := standin.StartDynamoDB(ctx, d.options.DynamoDB, folder)
	if err != nil {
		return "", err
	}
	d.closing(engine.Stop)
	for _, table := range d.stack.Tables {
		if err := createTable(ctx, engine.URL, table.Definition); err != nil {
			return "", err
		}
		d.Engines.Table = table.Name
	}
	d.Engines.DynamoDB = engine.URL
	if d.Table, err = standin.StartProxy(engine.URL); err != nil {
		return "", err
	}
	d.closing(func() error { d.Table.Close(); return nil })
	var plans []standin.Plan
	if d.options.Overlap > 0 {
		plans = append(plans, standin.Overlap(d.options.Overlap))
	}
	if d.options.Faults != nil {
		plans = append(plans, d.options.Faults)
	}
	if len(plans) > 0 {
		d.Table.Use(standin.First(plans...))
	}
	next, err := forward(d.Table.URL)
	if err != nil {
		return "", err
	}
	d.Meter = newMeter(next)
	var front http.Handler = d.Meter
	if d.options.Judge != nil {
		front = d.options.Judge.DynamoDB(front)
	}
	address, err := d.serve("127.0.0.1:0", front)
	return "http://" + address, err
}

// startBucket starts the stand-in of S3, makes the bucket, and returns the address that functions are given, which is
// also in the URLs that they sign. What stands before it: the judge, the bucket's events, and the faults.
func (d *Deployment) startBucket(ctx context.Context) (string, error) {
	if len(d.stack.Buckets) != 1 {
		return "", fmt.Errorf("the stack has %d buckets", len(d.stack.Buckets))
	}
	folder := filepath.Join(d.options.Data, "s3")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	engine, err := standin.StartS3(ctx, d.options.S3, folder)
	if err != nil {
		return "", err
	}
	d.closing(engine.Stop)
	bucket := d.stack.Buckets[0]
	if err := createBucket(ctx, engine.URL, bucket.Name); err != nil {
		return "", err
	}
	d.Engines.S3, d.Engines.Bucket = engine.URL, bucket.Name
	if d.Objects, err = standin.StartProxy(engine.URL); err != nil {
		return "", err
	}
	d.closing(func() error { d.Objects.Close(); return nil })
	if d.options.Far != (standin.Far{}) {
		return engine.URL, nil // where bytes are measured nothing happens to them, and each proxy that they pass takes its time
	}
	plain, err := forward(d.Objects.URL)
	if err != nil {
		return "", err
	}
	var front http.Handler = plain
	if bucket.EventBridge {
		if front, err = events.NewBucket(d.Objects.URL, d.Bus, standin.Region, Account); err != nil {
			return "", err
		}
	}
	if d.options.Judge != nil {
		front = d.options.Judge.S3(front)
	}
	// A client that came over TLS is not led away from it.
	if d.options.TLSCert != "" {
		address, err := d.serveTLS("127.0.0.1:0", apart(front))
		return "https://" + address, err
	}
	address, err := d.serve("127.0.0.1:0", apart(front))
	return "http://" + address, err
}

// away puts a line in front of an address, where the options say so.
func (d *Deployment) away(url string) (string, error) {
	if d.options.Far == (standin.Far{}) {
		return url, nil
	}
	line, err := standin.StartLine(url, d.options.Far)
	if err != nil {
		return "", err
	}
	d.closing(func() error { line.Close(); return nil })
	return line.URL, nil
}

// apart drops the credentials that a client keeps because it was led from loopback to loopback: on AWS, S3 has another
// host name than the registry, and clients leave them behind. Another address of loopback would not do: crane goes to
// none that the registry is not at.
func apart(front http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("X-Amz-Signature") {
			r.Header.Del("Authorization")
		}
		front.ServeHTTP(w, r)
	})
}

// forward is a proxy that keeps the host, which is signed.
func forward(target string) (*httputil.ReverseProxy, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
			r.Out.URL.RawQuery = r.In.URL.RawQuery
		},
		Transport:     &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // of bodies that broke off: whoever reads them says so
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}, nil
}

// createTable makes the table, unless it is there from an earlier deployment.
func createTable(ctx context.Context, engine string, definition []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, engine, bytes.NewReader(definition))
	if err != nil {
		return err
	}
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810.CreateTable")
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	return send(ctx, r, definition, "dynamodb", "ResourceInUseException")
}

// CreateBucket makes another bucket, for somebody who is no part of the stack.
func (d *Deployment) CreateBucket(ctx context.Context, name string) error {
	return createBucket(ctx, d.Engines.S3, name)
}

func createBucket(ctx context.Context, engine, name string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, engine+"/"+name, nil)
	if err != nil {
		return err
	}
	return send(ctx, r, nil, "s3", "BucketAlreadyOwnedByYou")
}

// send signs a request and sends it. An answer that names what is there already is none to complain of.
func send(ctx context.Context, r *http.Request, body []byte, service, there string) error {
	if err := sign(ctx, r, body, service, owner); err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK && !bytes.Contains(answer, []byte(there)) {
		return errors.New(response.Status + ": " + string(answer))
	}
	return nil
}
