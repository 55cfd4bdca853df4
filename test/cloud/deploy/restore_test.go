// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tare/test/cloud/judge"
	"tare/test/cloud/template"
	"tare/test/standin"
)

// TestRestore takes the steps of docs/operations.md: a table restored to an earlier moment, under another name, is adopted
// beside the same bucket. The registry is that of then, credentials included, and the roles reach that table; nothing is
// swept until somebody says so.
func TestRestore(t *testing.T) {
	w := newRestored(t)

	d := w.start(nil)
	c, err := d.Mint(t.Context(), "me", "push")
	if err != nil {
		t.Fatal(err)
	}
	w.credential = c
	w.push(d, "before")
	w.copyTable(d, "restored")
	w.push(d, "after")
	w.stop(d)

	d = w.start(map[string]string{"ExistingTable": "restored"})
	if status := w.pull(d, "before"); status != http.StatusOK {
		t.Errorf("what was pushed before the moment of the restore: %d", status)
	}
	if status := w.pull(d, "after"); status != http.StatusNotFound {
		t.Errorf("what was pushed after it: %d", status)
	}
	w.sweep(d, "The sweep is off")
	w.push(d, "after") // the same bytes are taken again, and what the bucket has of them is in nobody's way
	if status := w.pull(d, "after"); status != http.StatusOK {
		t.Errorf("what was pushed again: %d", status)
	}
	w.stop(d)

	d = w.start(map[string]string{"ExistingTable": "restored", "Options": "sweep=on"})
	w.sweep(d, `"Swept."`)
	for _, name := range []string{"before", "after"} {
		if status := w.pull(d, name); status != http.StatusOK {
			t.Errorf("%s after a sweep: %d", name, status)
		}
	}
	w.stop(d)
}

// restored is a registry that is deployed again and again over the same data.
type restored struct {
	t                *testing.T
	dynamoDB, s3     string
	bootstraps, data string
	credential       Credential
	judge            *judge.Judge
	log              *lines
}

// lines is what functions print.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

func newRestored(t *testing.T) *restored {
	w := &restored{t: t, bootstraps: t.TempDir(), data: t.TempDir()}
	w.dynamoDB, w.s3 = programs(t)
	for _, name := range []string{"api", "finalize", "gc"} {
		build := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", filepath.Join(w.bootstraps, name, "bootstrap"), "./functions/"+name)
		build.Dir = "../../.."
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return w
}

func (w *restored) start(parameters map[string]string) *Deployment {
	w.t.Helper()
	setting := template.Setting{Account: Account, Region: standin.Region, Parameters: parameters}
	file, err := os.Open("../template/testdata/expanded.json")
	if err != nil {
		w.t.Fatal(err)
	}
	defer file.Close()
	stack, err := template.Read(file, setting)
	if err != nil {
		w.t.Fatal(err)
	}
	w.log = new(lines)
	w.judge, err = judge.New(judge.Config{Stack: stack, Setting: setting, AccessKey: standin.AccessKey, SecretKey: standin.SecretKey})
	if err != nil {
		w.t.Fatal(err)
	}
	d, err := Start(w.t.Context(), stack, Options{Bootstraps: w.bootstraps, DynamoDB: w.dynamoDB, S3: w.s3, Data: w.data, Interval: time.Hour, Judge: w.judge, Log: w.log,
		Retry: func(int, bool) time.Duration { return time.Millisecond }})
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *restored) stop(d *Deployment) {
	w.t.Helper()
	if err := d.Close(); err != nil {
		w.t.Error(err)
	}
	for _, fault := range w.judge.Report().Faults() {
		w.t.Errorf("a role lacks a right: %v", fault)
	}
}

// request asks the registry, and returns the status.
func (w *restored) request(d *Deployment, method, path, kind, body string) int {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, d.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.SetBasicAuth(w.credential.Name, w.credential.Token)
	r.Header.Set("Content-Type", kind)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		w.t.Fatal(err)
	}
	return response.StatusCode
}

// layer is too large for a row, so that its bytes are an object.
func layer(name string) (content, digest string) {
	content = strings.Repeat(name, 4096)
	return content, fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content)))
}

// push makes an image of one layer, with the name as its tag.
func (w *restored) push(d *Deployment, name string) {
	w.t.Helper()
	content, digest := layer(name)
	if status := w.request(d, "POST", "/v2/team/app/blobs/uploads/?digest="+digest, "application/octet-stream", content); status != http.StatusCreated {
		w.t.Fatalf("the layer of %s: %d", name, status)
	}
	const kind = "application/vnd.oci.image.manifest.v1+json"
	descriptor := fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"%s","size":%d}`, digest, len(content))
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[%[2]s]}`, kind, descriptor)
	if status := w.request(d, "PUT", "/v2/team/app/manifests/"+name, kind, manifest); status != http.StatusCreated {
		w.t.Fatalf("the manifest of %s: %d", name, status)
	}
}

// pull gets the manifest of a tag, and the layer by the redirect.
func (w *restored) pull(d *Deployment, name string) int {
	w.t.Helper()
	if status := w.request(d, "GET", "/v2/team/app/manifests/"+name, "", ""); status != http.StatusOK {
		return status
	}
	_, digest := layer(name)
	return w.request(d, "GET", "/v2/team/app/blobs/"+digest, "", "")
}

// sweep invokes functions/gc, and waits for what it says.
func (w *restored) sweep(d *Deployment, says string) {
	w.t.Helper()
	function, err := d.name("Gc")
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := d.Invoke(w.t.Context(), function, []byte(`{"tare":"sweep"}`)); err != nil {
		w.t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); !w.log.has(says); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("functions/gc does not say %q", says)
		}
	}
}

// copyTable restores the table under another name, as of now.
func (w *restored) copyTable(d *Deployment, name string) {
	w.t.Helper()
	table := d.stack.Tables[0]
	definition := bytes.Replace(table.Definition, []byte(`"`+table.Name+`"`), []byte(`"`+name+`"`), 1)
	if err := createTable(w.t.Context(), d.Table.URL, definition); err != nil {
		w.t.Fatal(err)
	}
	var start json.RawMessage
	for {
		var page struct{ Items, LastEvaluatedKey json.RawMessage }
		scan := map[string]any{"TableName": table.Name}
		if start != nil {
			scan["ExclusiveStartKey"] = start
		}
		w.dynamo(d, "Scan", scan, &page)
		var items []json.RawMessage
		if err := json.Unmarshal(page.Items, &items); err != nil || len(items) == 0 {
			w.t.Fatalf("the table has no rows: %v", err)
		}
		for _, item := range items {
			w.dynamo(d, "PutItem", map[string]any{"TableName": name, "Item": item}, &struct{}{})
		}
		if start = page.LastEvaluatedKey; start == nil {
			return
		}
	}
}

// dynamo calls the table's engine as its owner.
func (w *restored) dynamo(d *Deployment, action string, input map[string]any, output any) {
	w.t.Helper()
	body, err := json.Marshal(input)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, d.Table.URL, bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810."+action)
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	if err := sign(w.t.Context(), r, body, "dynamodb", owner); err != nil {
		w.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(output); err != nil || response.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %s %v", action, response.Status, err)
	}
}
