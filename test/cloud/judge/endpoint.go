// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Endpoints are a judge's addresses on loopback.
type Endpoints struct {
	S3, DynamoDB, Lambda string // URLs
	judge                *Judge
	servers              []*http.Server
}

// Listen opens a judge's three addresses, on free ports. They are open until Close.
func (j *Judge) Listen() (*Endpoints, error) {
	e := &Endpoints{judge: j}
	objects, err := j.S3()
	if err != nil {
		return nil, err
	}
	rows, err := j.DynamoDB()
	if err != nil {
		return nil, err
	}
	for _, door := range []struct {
		at      *string
		handler http.Handler
	}{{&e.S3, objects}, {&e.DynamoDB, rows}, {&e.Lambda, j.Lambda()}} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, errors.Join(err, e.Close())
		}
		*door.at = "http://" + l.Addr().String()
		server := &http.Server{Handler: door.handler, ReadHeaderTimeout: time.Minute}
		e.servers = append(e.servers, server)
		go func() { _ = server.Serve(l) }() // until Close
	}
	return e, nil
}

// Close closes the addresses, and the connections to them.
func (e *Endpoints) Close() error {
	var errs []error
	for _, s := range e.servers {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// Environment is what a function's process gets beside the template's variables: the credentials of its role, as Lambda
// gives them, its Region, and the addresses of the judge. It is nil for a function that is not there.
func (e *Endpoints) Environment(function string) map[string]string {
	a := e.judge.actors[function]
	if a == nil || a.accessKey == "" {
		return nil
	}
	return map[string]string{
		"AWS_REGION": e.judge.config.Setting.Region, "AWS_DEFAULT_REGION": e.judge.config.Setting.Region,
		"AWS_ACCESS_KEY_ID": a.accessKey, "AWS_SECRET_ACCESS_KEY": a.secretKey, "AWS_SESSION_TOKEN": a.sessionID,
		"AWS_ENDPOINT_URL_S3": e.S3, "AWS_ENDPOINT_URL_DYNAMODB": e.DynamoDB, "AWS_ENDPOINT_URL_LAMBDA": e.Lambda,
	}
}

// Prepare makes the stack's buckets and tables in the engines, as a deploy does: tables from the template's own
// definition. What is there already is an error.
func (j *Judge) Prepare(ctx context.Context) error {
	for _, b := range j.config.Stack.Buckets {
		r, err := http.NewRequestWithContext(ctx, http.MethodPut, strings.TrimSuffix(j.config.S3.URL, "/")+"/"+b.Name, nil)
		if err != nil {
			return err
		}
		j.sign(r, "s3", unsigned, j.config.S3)
		if err := do(r); err != nil {
			return fmt.Errorf("bucket %s: %w", b.Name, err)
		}
	}
	for _, t := range j.config.Stack.Tables {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(j.config.DynamoDB.URL, "/")+"/", bytes.NewReader(t.Definition))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/x-amz-json-1.0")
		r.Header.Set("X-Amz-Target", "DynamoDB_20120810.CreateTable")
		sum := sha256.Sum256(t.Definition)
		j.sign(r, "dynamodb", hex.EncodeToString(sum[:]), j.config.DynamoDB)
		if err := do(r); err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	return nil
}

// do sends a request whose answer must be good.
func do(r *http.Request) error {
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	return nil
}
