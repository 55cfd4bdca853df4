// SPDX-License-Identifier: Apache-2.0

package s3store_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tare/internal/clock"
	"tare/internal/store/s3store"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 500, time.UTC)

// secrets are the credentials of the documentation of AWS.
var secrets = credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "")

// attempts is how many a call makes.
const attempts = 4

func openAt(url string, provider aws.CredentialsProvider) *s3store.Store {
	client := s3.New(s3.Options{
		BaseEndpoint: aws.String(url),
		Region:       "eu-central-1",
		Credentials:  provider,
		UsePathStyle: true,
		HTTPClient:   &http.Client{Transport: &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: time.Minute}},
	})
	return s3store.New(client, "bucket", s3store.Options{
		Clock: clock.NewManual(now),
		Pause: func(int) time.Duration { return 0 },
	})
}

// answer is what a server does with a request.
type answer func(http.ResponseWriter, *http.Request)

// engine answers requests by a script, and the last answer from then on.
type engine struct {
	mu       sync.Mutex
	script   []answer
	requests int
}

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	do := e.script[min(e.requests, len(e.script)-1)]
	e.requests++
	e.mu.Unlock()
	do(w, r)
}

func (e *engine) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.requests
}

// open starts a server with a script and gives a store on it.
func open(t *testing.T, script ...answer) (*s3store.Store, *engine) {
	t.Helper()
	e := &engine{script: script}
	web := httptest.NewServer(e)
	t.Cleanup(web.Close)
	return openAt(web.URL, secrets), e
}

// status answers with a status and a body as it is.
func status(code int, body string) answer {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(code)
		_, _ = fmt.Fprint(w, body)
	}
}

// refuse answers with an error as S3 writes it.
func refuse(code int, name string) answer {
	return status(code, `<?xml version="1.0" encoding="UTF-8"?>`+"\n<Error><Code>"+name+"</Code><Message>as told</Message></Error>")
}

// hangUp ends the connection without an answer.
func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// cutOff answers with an error and ends the connection before its end.
func cutOff(code int, name string) answer {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		refuse(code, name)(w, r)
		panic(http.ErrAbortHandler)
	}
}

// took answers that a body was taken, with the checksum that it came with.
func took(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"0123456789abcdef0123456789abcdef"`)
	w.Header().Set("X-Amz-Checksum-Sha256", r.Header.Get("X-Amz-Checksum-Sha256"))
}
