// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"tare/test/standin"
)

// rivalBucket is the bucket of the rival, in the same S3.
const rivalBucket = "rival-registry"

// startRival starts the CNCF's registry on its S3 driver, as it ships: parts of 10 MiB one after another, copies of 32 MiB a
// hundred at once, pulls redirected. It reaches S3 at the address at which the functions do.
func (b *bench) startRival(ctx context.Context) (*standin.Server, error) {
	if b.rival == "" {
		return nil, errors.New("-distribution names no program to measure beside")
	}
	if err := b.CreateBucket(ctx, rivalBucket); err != nil {
		return nil, err
	}
	program, err := filepath.Abs(b.rival)
	if err != nil {
		return nil, err
	}
	var failed error
	server, err := standin.StartProgram(ctx, func(address, _ string) []string {
		config, err := json.Marshal(map[string]any{ // JSON is YAML, too
			"version": "0.1",
			"log":     map[string]any{"level": "error", "accesslog": map[string]any{"disabled": true}},
			"storage": map[string]any{
				"s3": map[string]any{
					"accesskey": standin.AccessKey, "secretkey": standin.SecretKey, "region": standin.Region, "bucket": rivalBucket,
					"regionendpoint": b.S3, "forcepathstyle": true,
				},
				"cache":       map[string]any{"blobdescriptor": "inmemory"},
				"delete":      map[string]any{"enabled": true},
				"maintenance": map[string]any{"uploadpurging": map[string]any{"enabled": false}},
			},
			"http": map[string]any{"addr": address},
		})
		name := filepath.Join(b.data, "rival.json")
		failed = errors.Join(err, os.WriteFile(name, config, 0o600))
		return []string{"/usr/bin/env", "OTEL_TRACES_EXPORTER=none", program, "serve", name}
	})
	return server, errors.Join(failed, err)
}

// pushWhole pushes a layer as containerd and Docker do: POST, and one PUT. Nothing but the bucket is far away, and the layer
// reaches the registry as fast as it takes it.
func pushWhole(ctx context.Context, base, repository string, l layer) error {
	opened, err := send(ctx, http.MethodPost, base+"/v2/"+repository+"/blobs/uploads/", nil, 0, http.StatusAccepted)
	if err != nil {
		return err
	}
	to, err := url.Parse(opened)
	if err != nil {
		return err
	}
	query := to.Query()
	query.Set("digest", string(l.digest))
	to.RawQuery = query.Encode()
	_, err = send(ctx, http.MethodPut, to.String(), io.NewSectionReader(l.file, 0, l.size), l.size, http.StatusCreated)
	return err
}

// send sends a request, wants a status, and returns the Location of the answer.
func send(ctx context.Context, method, to string, body io.Reader, size int64, want int) (location string, err error) {
	r, err := http.NewRequestWithContext(ctx, method, to, body)
	if err != nil {
		return "", err
	}
	r.ContentLength = size
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err != nil {
		return "", err
	}
	if response.StatusCode != want {
		return "", fmt.Errorf("%s: %s: %s", method, response.Status, answer)
	}
	return response.Header.Get("Location"), nil
}
