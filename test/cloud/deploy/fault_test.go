// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tare/internal/clock"
	"tare/internal/refcount"
	"tare/internal/store/dynamostore"
	"tare/internal/store/s3store"
	"tare/test/standin"
)

// question is a request that has to be answered whatever AWS does.
type question struct {
	method, path, body string
	stranger           bool // it comes from a name that nobody knows
	bucket             bool // it needs the bucket, too
	nothing            bool // it needs nothing of a process that knows the credential and the keys
}

// TestUnavailable asks everything of the functions while the table, and then the bucket, throttles, fails, hangs, and refuses who
// asks. Clients get the registry's own 503 with Retry-After, before the gateway's patience ends; what does not need the bucket is
// answered as ever; and when it is over, nothing is half done.
func TestUnavailable(t *testing.T) {
	w := newRestored(t)
	d := w.start(map[string]string{"Options": "anonymous-pull=on"})
	var err error
	if w.credential, err = d.Mint(t.Context(), "me", "admin"); err != nil {
		t.Fatal(err)
	}
	w.push(d, "before")
	release := make(chan struct{})
	hangs := func(standin.Request) standin.Fault { <-release; return standin.LoseCall }
	for name, faults := range map[string]struct{ table, bucket standin.Plan }{
		"throttles": {every(standin.Throttle), every(standin.S3Error(503, "SlowDown", "Please reduce your request rate."))},
		"fails":     {every(standin.DynamoError(500, "InternalServerError", "x")), every(standin.S3Error(500, "InternalError", "x"))},
		"is gone":   {every(standin.Reset), every(standin.Reset)},
		"hangs":     {hangs, hangs},
		"denies": {every(standin.DynamoError(400, "ExpiredTokenException", "The security token included in the request is expired")),
			every(standin.S3Error(400, "ExpiredToken", "The provided token has expired."))},
	} {
		questions := w.questions(d)
		d.Table.Use(faults.table)
		w.ask(d, "the table "+name, questions, func(question) bool { return true })
		d.Table.Use(nil)
		d.Objects.Use(faults.bucket)
		w.ask(d, "the bucket "+name, questions, func(q question) bool { return q.bucket })
		d.Objects.Use(nil)
	}
	close(release)
	if status := w.pull(d, "before"); status != http.StatusOK {
		t.Errorf("what was there before: %d", status)
	}
	w.push(d, "refused") // what was refused is done when it is asked again
	if status := w.pull(d, "refused"); status != http.StatusOK {
		t.Errorf("what was refused, asked again: %d", status)
	}
	w.audit(d)
	w.stop(d)
}

func every(f standin.Fault) standin.Plan { return func(standin.Request) standin.Fault { return f } }

// questions are of all kinds. Some are about an upload that is opened for them.
func (w *restored) questions(d *Deployment) []question {
	w.t.Helper()
	opened := w.send(d, question{method: "POST", path: "/v2/team/app/blobs/uploads/"})
	defer opened.Body.Close()
	upload := opened.Header.Get("Location")
	_, old := layer("before")
	content, digest := layer("refused")
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"annotations":{"a":"%s"}}`, digest)
	direct := fmt.Sprintf(`{"digest":"%s","size":%d,"parts":true}`, digest, 64<<20)
	if opened.StatusCode != http.StatusAccepted || upload == "" {
		w.t.Fatalf("an upload: %s", opened.Status)
	}
	return []question{
		{method: "GET", path: "/v2/", stranger: true},
		{method: "GET", path: "/token", stranger: true},
		{method: "HEAD", path: "/v2/team/app/manifests/before"},
		{method: "GET", path: "/v2/team/app/manifests/before"},
		{method: "HEAD", path: "/v2/team/app/blobs/" + old},
		{method: "GET", path: "/v2/team/app/blobs/" + old},
		{method: "GET", path: "/v2/team/app/tags/list"},
		{method: "GET", path: "/v2/team/app/referrers/" + old},
		{method: "GET", path: "/v2/_catalog"},
		{method: "POST", path: "/v2/team/app/blobs/uploads/", nothing: true},
		{method: "POST", path: "/v2/team/other/blobs/uploads/?mount=" + old + "&from=team/app"},
		{method: "POST", path: "/v2/team/app/blobs/uploads/?digest=" + digest, body: content, bucket: true},
		{method: "PATCH", path: upload, body: content, bucket: true},
		{method: "GET", path: upload},
		{method: "PUT", path: "/v2/team/app/manifests/refused", body: manifest},
		{method: "DELETE", path: "/v2/team/app/manifests/refused"},
		{method: "POST", path: "/v2/team/app/_tare/v1/have", body: `{"digests":["` + old + `"]}`},
		{method: "POST", path: "/v2/team/app/_tare/v1/uploads", body: direct, bucket: true},
	}
}

func (w *restored) send(d *Deployment, q question) *http.Response {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), q.method, d.URL+q.path, strings.NewReader(q.body))
	if err != nil {
		w.t.Error(err)
		return &http.Response{Body: http.NoBody}
	}
	if r.SetBasicAuth(w.credential.Name, w.credential.Token); q.stranger {
		r.SetBasicAuth("nobody", w.credential.Token)
	}
	r.Header.Set("Content-Type", "application/octet-stream")
	if strings.Contains(q.path, "/manifests/") {
		r.Header.Set("Content-Type", "application/vnd.oci.image.index.v1+json")
	}
	asker := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := asker.Do(r)
	if err != nil {
		w.t.Error(err)
		return &http.Response{Body: http.NoBody}
	}
	return response
}

// ask asks all questions at once. Those that are refused are to come again, and say so as the registry does.
func (w *restored) ask(d *Deployment, when string, questions []question, refused func(question) bool) {
	var all sync.WaitGroup
	for _, q := range questions {
		all.Go(func() {
			began := time.Now()
			response := w.send(d, q)
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if took := time.Since(began); err != nil || took > 29*time.Second {
				w.t.Errorf("%s: %s %s: %v after %v", when, q.method, q.path, err, took)
			}
			if !refused(q) || q.nothing && response.StatusCode < 300 {
				if response.StatusCode >= 500 {
					w.t.Errorf("%s: %s %s: %s %s", when, q.method, q.path, response.Status, body)
				}
				return
			}
			var e struct{ Errors []struct{ Code string } }
			if q.method != "HEAD" && (json.Unmarshal(body, &e) != nil || len(e.Errors) != 1 || e.Errors[0].Code != "UNAVAILABLE") ||
				response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
				w.t.Errorf("%s: %s %s: %s, Retry-After %q: %s", when, q.method, q.path, response.Status, response.Header.Get("Retry-After"), body)
			}
		})
	}
	all.Wait()
}

// audit reads all rows of the registry, and what is wrong with them.
func (w *restored) audit(d *Deployment) {
	w.t.Helper()
	config := aws.Config{Region: standin.Region, Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: standin.AccessKey, SecretAccessKey: standin.SecretKey}, nil
	})}
	table := dynamostore.New(dynamodb.NewFromConfig(config, func(o *dynamodb.Options) { o.BaseEndpoint = &d.Table.URL }), d.stack.Tables[0].Name,
		dynamostore.Options{Clock: clock.System{}})
	objects := s3store.New(s3.NewFromConfig(config, func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = &d.Objects.URL, true }), d.stack.Buckets[0].Name, s3store.Options{})
	ledger, err := refcount.New(refcount.Stores{Table: table, Objects: objects, Parts: objects}, clock.System{},
		refcount.Config{Margins: refcount.DefaultMargins(), InlineLimit: 4096, Distant: true})
	if err != nil {
		w.t.Fatal(err)
	}
	findings, err := ledger.Audit(w.t.Context(), table)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range findings {
		w.t.Errorf("audit: %s", f)
	}
}

// TestWrongEvents sends events to the functions that are none of theirs, as AWS would: each goes to the failure destination after
// its attempts, and no service has been called.
func TestWrongEvents(t *testing.T) {
	w := newRestored(t)
	d := w.start(nil)
	object := "ovdkm4nzk52a2bj56w5fjhl7odi"
	created := `{"version":"0","detail-type":"%s","source":"%s","detail":{"bucket":{"name":"%s"},"object":{"key":"%s"},"reason":"%s"}}`
	bucket := d.stack.Buckets[0].Name
	wrong := map[string][]string{
		"Finalize": {
			`{}`, `[]`, `"settle"`, `{"tare":"sweep"}`, `{"tare":"settle","upload":"../x"}`, `{"tare":"settle","upload":"` + object + `","more":1}`,
			fmt.Sprintf(created, "Object Deleted", "aws.s3", bucket, object, "CompleteMultipartUpload"), fmt.Sprintf(created, "Object Created", "aws.ec2", bucket, object, "CompleteMultipartUpload"),
			fmt.Sprintf(created, "Object Created", "aws.s3", "another", object, "CompleteMultipartUpload"), fmt.Sprintf(created, "Object Created", "aws.s3", bucket, object, "PutObject"),
		},
		"Gc": {`{}`, `[]`, `{"tare":"settle","upload":"` + object + `"}`, `{"tare":"sweep","all":true}`, `{"version":"0","detail-type":"Scheduled Event","source":"aws.scheduler","detail":{}}`},
	}
	want := 0
	for id, list := range wrong {
		function, err := d.name(id)
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range list {
			if _, err := d.Lambda.Enqueue(function, []byte(event)); err != nil {
				t.Fatal(err)
			}
			want++
		}
	}
	// What somebody else put into the bucket is no failure.
	function, err := d.name("Finalize")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Lambda.Enqueue(function, fmt.Appendf(nil, created, "Object Created", "aws.s3", bucket, "old/backup.tar", "CompleteMultipartUpload")); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); d.Lambda.Pending() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d events are not answered", d.Lambda.Pending())
		}
	}
	failures := d.Lambda.Failures()
	for _, f := range failures {
		if f.Destination == "" || f.RequestContext.Condition != "RetriesExhausted" || !strings.Contains(string(f.ResponsePayload), "no event of this function") {
			t.Errorf("%s: to %q, %s, %s", f.RequestPayload, f.Destination, f.RequestContext.Condition, f.ResponsePayload)
		}
	}
	if len(failures) != want {
		t.Errorf("%d of %d events were given up", len(failures), want)
	}
	if calls := len(d.Table.Seen()) + len(d.Objects.Seen()); calls > 0 {
		t.Errorf("the functions called: %v, %v", d.Table.Seen(), d.Objects.Seen())
	}
	if !w.log.has("old/backup.tar") {
		t.Error("nothing is said of an object that is not the registry's")
	}
	w.stop(d)
}
