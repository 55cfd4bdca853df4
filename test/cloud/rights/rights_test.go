// SPDX-License-Identifier: Apache-2.0

// Package rights runs what the three functions do, each with the credentials of its own role, through the judge, and with a
// clock that can be set forward, so that the sweep has something to do: no permission of the template may be missing, and
// none superfluous.
package rights

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tare/internal/clock"
	"tare/internal/direct"
	"tare/internal/doctor"
	"tare/internal/oci"
	"tare/internal/ocihttp"
	"tare/internal/refcount"
	"tare/internal/registry"
	"tare/internal/store/dynamostore"
	"tare/internal/store/s3store"
	"tare/internal/upload"
	"tare/test/cloud/events"
	"tare/test/cloud/judge"
	"tare/test/cloud/template"
	"tare/test/standin"
)

// shifted is the machine's clock, set forward.
type shifted struct{ by atomic.Int64 }

func (s *shifted) Now() time.Time { return clock.System{}.Now().Add(time.Duration(s.by.Load())) }

func (s *shifted) Pause(ctx context.Context, d time.Duration) error {
	return clock.System{}.Pause(ctx, d)
}

// cloud is a stack whose functions run in this process.
type cloud struct {
	t                            *testing.T
	stack                        template.Stack
	judge                        *judge.Judge
	clock                        *shifted
	table, objects, lambda, self string // addresses; self is the registry's
	turns                        atomic.Int64
	lose                         atomic.Bool // the object that is settled next is gone
	calls                        sync.WaitGroup
}

// function is what a function has of its stores.
type function struct {
	ledger  *refcount.Ledger
	uploads *upload.Uploads
	bucket  *s3store.Store
	invoke  func(ctx context.Context, id string) error // asks for a settlement
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	text := expanded(t)
	rows, bytes := standin.DynamoDB(t), standin.S3(t)
	c := &cloud{t: t, clock: new(shifted)}
	var err error
	c.stack, c.judge, err = judgeOf(text)
	c.must(err)
	c.must(c.judge.Services())
	c.prepare(rows.URL, bytes.URL)
	c.table, c.objects = c.serve(c.judge.DynamoDB(forward(t, rows.URL))), c.serve(c.judge.S3(c.bucketEvents(bytes.URL)))
	c.lambda = c.serve(http.HandlerFunc(c.invoked))
	t.Cleanup(c.calls.Wait)
	return c
}

func (c *cloud) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// expanded is the template of the repository, which `make cloud-parts` expands.
func expanded(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("../../../bin/cloud/template.json")
	if os.IsNotExist(err) {
		standin.Lacking(t, "the template is not expanded: run `make cloud-parts`")
	}
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// judgeOf makes a judge by a template.
func judgeOf(text []byte) (template.Stack, *judge.Judge, error) {
	setting := template.Setting{Region: standin.Region}
	stack, err := template.Read(bytes.NewReader(text), setting)
	if err != nil {
		return stack, nil, err
	}
	j, err := judge.New(judge.Config{Stack: stack, Setting: setting, AccessKey: standin.AccessKey, SecretKey: standin.SecretKey})
	return stack, j, err
}

func (c *cloud) serve(h http.Handler) string {
	server := httptest.NewServer(h)
	c.t.Cleanup(server.Close)
	return server.URL
}

// forward is a proxy that keeps the host, which is signed.
func forward(t *testing.T, target string) http.Handler {
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	return &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to); p.Out.Host = p.In.Host }}
}

// prepare makes the table and the bucket, as a deploy does.
func (c *cloud) prepare(rows, bytes string) {
	c.t.Helper()
	root := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: standin.AccessKey, SecretAccessKey: standin.SecretKey}, nil
	})
	var table dynamodb.CreateTableInput
	c.must(json.Unmarshal(c.stack.Tables[0].Definition, &table))
	_, err := dynamodb.New(dynamodb.Options{Region: standin.Region, Credentials: root, BaseEndpoint: &rows}).CreateTable(c.t.Context(), &table)
	c.must(err)
	_, err = s3.New(s3.Options{Region: standin.Region, Credentials: root, BaseEndpoint: &bytes, UsePathStyle: true}).
		CreateBucket(c.t.Context(), &s3.CreateBucketInput{Bucket: &c.stack.Buckets[0].Name})
	c.must(err)
}

// function opens the stores with a function's credentials, as functions/internal/cloud does.
func (c *cloud) function(id string) function {
	c.t.Helper()
	variables := c.judge.Credentials(id)
	if variables == nil {
		c.t.Fatalf("the stack has no function %s", id)
	}
	mine := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: variables["AWS_ACCESS_KEY_ID"], SecretAccessKey: variables["AWS_SECRET_ACCESS_KEY"], SessionToken: variables["AWS_SESSION_TOKEN"]}, nil
	})
	f := function{bucket: s3store.New(s3.New(s3.Options{Region: standin.Region, Credentials: mine, BaseEndpoint: &c.objects, UsePathStyle: true}),
		c.stack.Buckets[0].Name, s3store.Options{})}
	table := dynamostore.New(dynamodb.New(dynamodb.Options{Region: standin.Region, Credentials: mine, BaseEndpoint: &c.table}),
		c.stack.Tables[0].Name, dynamostore.Options{Clock: c.clock})
	client := lambda.New(lambda.Options{Region: standin.Region, Credentials: mine, BaseEndpoint: &c.lambda})
	f.invoke = func(ctx context.Context, id string) error {
		_, err := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("finalize"), InvocationType: lambdatypes.InvocationTypeEvent, Payload: []byte(id)})
		return err
	}
	margins := refcount.DefaultMargins()
	margins.Untagged = time.Hour
	var err error
	f.ledger, err = refcount.New(refcount.Stores{Table: table, Objects: f.bucket, Parts: f.bucket}, c.clock, refcount.Config{Margins: margins, InlineLimit: 4 << 10, Distant: true})
	c.must(err)
	f.uploads, err = upload.New(f.ledger, f.bucket, f.bucket, c.clock, upload.Options{Direct: f.bucket, Settle: f.invoke})
	c.must(err)
	return f
}

// invoked is Lambda's API: it starts functions/finalize. Every first call of two has no time, and asks for another.
func (c *cloud) invoked(w http.ResponseWriter, r *http.Request) {
	i := slices.IndexFunc(c.stack.Functions, func(f template.Function) bool { return f.ID == "Finalize" })
	if err := c.judge.Lambda(r, c.stack.Functions[i].ARN); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	id, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	c.settle(string(id))
}

// settle is a call of functions/finalize.
func (c *cloud) settle(id string) {
	c.calls.Go(func() {
		if c.lose.Swap(false) {
			if err := c.function("deployer").bucket.Delete(context.Background(), id); err != nil {
				c.t.Error(err)
			}
		}
		f, deadline := c.function("Finalize"), c.clock.Now().Add(time.Minute)
		if c.turns.Add(1)%2 == 1 {
			deadline = c.clock.Now()
		}
		left, err := f.uploads.Settle(context.Background(), id, deadline)
		if err == nil && left {
			err = f.invoke(context.Background(), id)
		}
		if err != nil {
			c.t.Errorf("settling: %v", err)
		}
	})
}

// bucketEvents plays the bucket's events by the rules of the template: what is put together calls functions/finalize.
func (c *cloud) bucketEvents(bucket string) http.Handler {
	bus := events.NewBus(events.Weather{})
	c.t.Cleanup(bus.Close)
	for _, r := range c.stack.Rules {
		pattern, err := events.Compile(r.Pattern)
		c.must(err)
		bus.Rule(pattern, func(event []byte) error {
			var told struct {
				Detail struct{ Object struct{ Key string } }
			}
			if err := json.Unmarshal(event, &told); err != nil {
				return err
			}
			c.settle(told.Detail.Object.Key)
			return nil
		})
	}
	front, err := events.NewBucket(bucket, bus, standin.Region, "123456789012")
	c.must(err)
	return front
}

// startAPI serves the registry with the credentials of functions/api.
func (c *cloud) startAPI() {
	f := c.function("Api")
	reg := registry.New(f.ledger, f.uploads, f.bucket, registry.Options{Direct: f.bucket})
	c.self = c.serve(ocihttp.New(reg, ocihttp.Options{Clock: c.clock}))
}

// ask sends a request whose answer must have a status.
func (c *cloud) ask(method, path string, body []byte, want int, header ...string) http.Header {
	c.t.Helper()
	at, err := url.Parse(c.self)
	c.must(err)
	at, err = at.Parse(path)
	c.must(err)
	r, err := http.NewRequestWithContext(c.t.Context(), method, at.String(), bytes.NewReader(body))
	c.must(err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	c.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	c.must(err)
	if resp.StatusCode != want {
		c.t.Fatalf("%s %s: status %d instead of %d: %s", method, path, resp.StatusCode, want, text)
	}
	return resp.Header
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// push pushes content as a blob.
func (c *cloud) push(repo string, content []byte) map[string]any {
	c.t.Helper()
	c.ask(http.MethodPost, "/v2/"+repo+"/blobs/uploads/?digest="+digestOf(content), content, http.StatusCreated, "Content-Type", "application/octet-stream")
	return map[string]any{"mediaType": "application/octet-stream", "digest": digestOf(content), "size": len(content)}
}

const manifestType = "application/vnd.oci.image.manifest.v1+json"

// image pushes a manifest and returns its descriptor.
func (c *cloud) image(repo, reference string, m map[string]any) map[string]any {
	c.t.Helper()
	m["schemaVersion"], m["mediaType"] = 2, manifestType
	b, err := json.Marshal(m)
	c.must(err)
	if reference == "" {
		reference = digestOf(b)
	}
	c.ask(http.MethodPut, "/v2/"+repo+"/manifests/"+reference, b, http.StatusCreated, "Content-Type", manifestType)
	return map[string]any{"mediaType": manifestType, "digest": digestOf(b), "size": len(b)}
}

// use does what clients do, and leaves behind what the sweep is for.
func (c *cloud) use() {
	c.t.Helper()
	c.must(doctor.Examine(c.t.Context(), doctor.Options{URL: c.self, Clock: clock.System{}, Load: 4}, func(f doctor.Finding) {
		if f.Result == doctor.Failed {
			c.t.Errorf("%s: %s", f.Check, f.Saw)
		}
	}))
	const repo = "team/app"
	config := c.push(repo, []byte("{}"))
	var layers []any
	for i := range 150 { // more than one transaction holds
		layers = append(layers, c.push(repo, fmt.Appendf(nil, "layer %d", i)))
	}
	large := c.push(repo, bytes.Repeat([]byte("x"), 100<<10))
	wide := c.image(repo, "wide", map[string]any{"config": config, "layers": layers})
	slim := c.image(repo, "slim", map[string]any{"config": config, "layers": []any{large}})
	c.image(repo, "", map[string]any{"config": config, "layers": []any{}, "subject": slim})
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []any{wide, slim}})
	c.must(err)
	c.ask(http.MethodPut, "/v2/"+repo+"/manifests/index", index, http.StatusCreated, "Content-Type", "application/vnd.oci.image.index.v1+json")
	c.ask(http.MethodPost, "/v2/other/blobs/uploads/?mount="+large["digest"].(string)+"&from="+repo, nil, http.StatusCreated)
	c.push(repo, bytes.Repeat([]byte("x"), 100<<10)) // again, while a manifest lists it
	c.ask(http.MethodGet, "/v2/"+repo+"/tags/list", nil, http.StatusOK)
	c.ask(http.MethodGet, "/v2/"+repo+"/referrers/"+slim["digest"].(string), nil, http.StatusOK)
	c.ask(http.MethodGet, "/v2/_catalog", nil, http.StatusOK)
	c.ask(http.MethodDelete, "/v2/"+repo+"/manifests/index", nil, http.StatusAccepted)
	c.ask(http.MethodDelete, "/v2/"+repo+"/manifests/"+digestOf(index), nil, http.StatusAccepted)
	c.ask(http.MethodDelete, "/v2/"+repo+"/manifests/"+wide["digest"].(string), nil, http.StatusAccepted)
	c.ask(http.MethodDelete, "/v2/"+repo+"/manifests/slim", nil, http.StatusAccepted) // the rule for what has no tag takes the rest

	c.meet(repo, config)

	// Uploads that nobody ends: through the function, with a part that went already, and directly.
	at := c.ask(http.MethodPost, "/v2/"+repo+"/blobs/uploads/", nil, http.StatusAccepted).Get("Location")
	half := bytes.Repeat([]byte("y"), 6<<20)
	c.ask(http.MethodPatch, at, half, http.StatusAccepted, "Content-Type", "application/octet-stream", "Content-Range", fmt.Sprintf("0-%d", len(half)-1))
	ask, err := json.Marshal(map[string]any{"digest": digestOf([]byte("never")), "size": 6 << 20, "parts": true, "partSize": 5 << 20})
	c.must(err)
	c.ask(http.MethodPost, "/v2/"+repo+"/_tare/v1/uploads", ask, http.StatusCreated)
}

// meet settles direct uploads of what came another way meanwhile, and one whose bytes are gone, as after a restore.
func (c *cloud) meet(repo string, config map[string]any) {
	c.t.Helper()
	client, err := direct.New(c.self, direct.Options{PartsFrom: 1})
	c.must(err)
	settle := func(content []byte, meanwhile func()) error {
		return client.Push(c.t.Context(), oci.Repository(repo), direct.Blob{
			Digest: oci.Digest(digestOf(content)), Size: int64(len(content)), Content: bytes.NewReader(content), Opened: func(string) { meanwhile() },
		})
	}
	elsewhere, listed := bytes.Repeat([]byte("e"), 100<<10), bytes.Repeat([]byte("l"), 100<<10)
	c.must(settle(elsewhere, func() { c.push("other", elsewhere) }))
	c.must(settle(listed, func() {
		c.image(repo, "listed", map[string]any{"config": config, "layers": []any{c.push(repo, listed)}})
	}))
	if err := settle(bytes.Repeat([]byte("g"), 100<<10), func() { c.lose.Store(true) }); err == nil {
		c.t.Error("an upload whose bytes are gone was settled")
	}
	c.ask(http.MethodDelete, "/v2/"+repo+"/manifests/listed", nil, http.StatusAccepted)
}

// TestRights has every function do its work with its own rights.
func TestRights(t *testing.T) {
	c := newCloud(t)
	c.startAPI()
	c.use()
	c.calls.Wait()
	gc := c.function("Gc")
	for range 12 { // past every margin, one after the other
		c.clock.by.Add(int64(13 * time.Hour))
		_, err := gc.ledger.GoOnUntagged(t.Context(), c.clock.Now().Add(time.Minute))
		c.must(err)
		report, err := gc.ledger.Sweep(t.Context(), refcount.SweepOptions{Until: c.clock.Now().Add(time.Minute)})
		c.must(err)
		if len(report.Errors) > 0 {
			t.Error(report.Errors)
		}
	}
	owner := c.function("deployer")
	if left, err := owner.bucket.List(t.Context(), "", "", 100); err != nil || len(left) > 0 {
		t.Errorf("left in the bucket: %v, %v", left, err)
	}
	if left, err := owner.bucket.Pending(t.Context(), ""); err != nil || len(left) > 0 {
		t.Errorf("left in the bucket: %v, %v", left, err)
	}
	report := c.judge.Report()
	for _, f := range report.Faults() {
		t.Error(f)
	}
	for _, line := range report.Unused {
		t.Errorf("never used: %s", line)
	}
	for _, b := range c.stack.Buckets {
		if c.judge.InClear(b.Name) {
			t.Errorf("%s lets pass what does not come over TLS", b.ID)
		}
	}
	var text bytes.Buffer
	report.Print(&text)
	t.Log("\n" + text.String())
	t.Run("taken away", func(t *testing.T) { takeAway(t, c.judge) })
}
