// SPDX-License-Identifier: Apache-2.0

// Package live deploys the repository's own template with its real functions on this machine, and looks at it from outside:
// what `tare doctor` says of it and of what is broken in it on purpose, and what strangers and clients must not be able to do.
package live

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"tare/test/cloud/deploy"
	"tare/test/cloud/events"
	"tare/test/cloud/judge"
	"tare/test/cloud/template"
	"tare/test/standin"
)

// built is the folder of what `make cloud-parts` makes.
const built = "../../../bin/cloud"

// cloud is a deployment, with what it prints and a credential that may do everything.
type cloud struct {
	*deploy.Deployment
	judge *judge.Judge
	log   *log
	admin deploy.Credential
}

// log keeps what the functions print.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// setting is how a cloud is deployed.
type setting struct {
	weather    events.Weather
	parameters map[string]string
	store      func(http.Handler) http.Handler // stands between the judge and the bucket
	now        func() time.Time                // of the judge; nil: the system's
}

// judged is a judge with something behind it.
type judged struct {
	*judge.Judge
	store func(http.Handler) http.Handler
}

func (j judged) S3(next http.Handler) http.Handler {
	if j.store != nil {
		next = j.store(next)
	}
	return j.Judge.S3(next)
}

// start deploys the template. At the end no request of a function may have been refused.
func start(t *testing.T, s setting) *cloud {
	t.Helper()
	file, err := os.Open(built + "/template.json")
	if err != nil {
		standin.Lacking(t, "the template is not expanded: run `make cloud-parts`")
	}
	defer file.Close()
	rows, objects := os.Getenv("TARE_DYNOXIDE"), os.Getenv("TARE_VERSITYGW")
	if rows == "" || objects == "" {
		standin.Lacking(t, "TARE_DYNOXIDE and TARE_VERSITYGW name no programs")
	}
	where := template.Setting{Account: deploy.Account, Region: standin.Region, Parameters: s.parameters}
	stack, err := template.Read(file, where)
	must(t, err)
	j, err := judge.New(judge.Config{Stack: stack, Setting: where, AccessKey: standin.AccessKey, SecretKey: standin.SecretKey, Now: s.now})
	must(t, err)
	must(t, j.Services())
	c := &cloud{judge: j, log: new(log)}
	c.Deployment, err = deploy.Start(t.Context(), stack, deploy.Options{
		Bootstraps: built, DynamoDB: rows, S3: objects, Data: t.TempDir(), Log: c.log, Weather: s.weather, Concurrency: 32,
		Overlap: time.Millisecond, Judge: judged{j, s.store}, Retry: func(int, bool) time.Duration { return 200 * time.Millisecond },
	})
	must(t, err)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		for _, f := range j.Report().Faults() {
			t.Error(f)
		}
	})
	c.admin, err = c.Mint(t.Context(), "admin", "admin")
	must(t, err)
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("status %d: %v: %s", a.status, err, a.body)
	}
}

// ask sends a request to the registry, with a credential unless its name is "".
func (c *cloud) ask(t *testing.T, who deploy.Credential, method, path string, body any, change ...func(*http.Request)) answer {
	t.Helper()
	var content []byte
	switch b := body.(type) {
	case nil:
	case []byte:
		content = b
	default:
		var err error
		content, err = json.Marshal(b)
		must(t, err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, c.URL+path, bytes.NewReader(content))
	must(t, err)
	r.Header.Set("Content-Type", "application/json")
	if who.Name != "" {
		r.SetBasicAuth(who.Name, who.Token)
	}
	for _, f := range change {
		f(r)
	}
	return send(t, r)
}

// send sends a request as it is, and follows nothing.
func send(t *testing.T, r *http.Request) answer {
	t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	return answer{resp.StatusCode, resp.Header, b}
}

// order sends the function api what an operator asks of it, and reads what it says.
func (c *cloud) order(t *testing.T, order map[string]any, report any) {
	t.Helper()
	event, err := json.Marshal(order)
	must(t, err)
	said, err := c.Invoke(t.Context(), c.function(t, "Api"), event)
	must(t, err)
	must(t, json.Unmarshal(said, report))
}

// function is the name of one.
func (c *cloud) function(t *testing.T, id string) string {
	t.Helper()
	file, err := os.Open(built + "/template.json")
	must(t, err)
	defer file.Close()
	stack, err := template.Read(file, template.Setting{Account: deploy.Account, Region: standin.Region})
	must(t, err)
	for _, f := range stack.Functions {
		if f.ID == id {
			return f.Name
		}
	}
	t.Fatalf("there is no function %s", id)
	return ""
}

// believing is a store that takes what comes for what was announced. It says so and keeps nothing.
func believing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sum := r.Header.Get("X-Amz-Checksum-Sha256")
		if r.Method != http.MethodPut || sum == "" {
			next.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if got := sha256.Sum256(body); base64.StdEncoding.EncodeToString(got[:]) == sum {
			r.Body = io.NopCloser(bytes.NewReader(body))
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("ETag", `"0"`)
	})
}

// secrets are those of a cloud that its logs must not have.
func (c *cloud) secrets() []string {
	out := []string{c.admin.Token, "X-Amz-Signature", "X-Amz-Security-Token", "Signature=", "Authorization", "uploadId="}
	for _, id := range []string{"Api", "Finalize", "Gc"} {
		for name, v := range c.judge.Credentials(id) {
			if name != "AWS_ACCESS_KEY_ID" {
				out = append(out, v)
			}
		}
	}
	return out
}

// quiet sees that what the functions printed has no secret, and that they printed something.
func (c *cloud) quiet(t *testing.T, more ...string) {
	t.Helper()
	text := c.log.String()
	if !strings.Contains(text, `"msg"`) {
		t.Errorf("the log has no lines: %s", text)
	}
	for _, secret := range append(c.secrets(), more...) {
		if i := strings.Index(text, secret); secret != "" && i >= 0 {
			t.Errorf("the log has %q: …%s…", secret, text[max(i-300, 0):min(i+300, len(text))])
		}
	}
}
