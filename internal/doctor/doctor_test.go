// SPDX-License-Identifier: Apache-2.0

package doctor_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"tare/internal/auth"
	"tare/internal/clock"
	"tare/internal/doctor"
	"tare/internal/ocihttp"
	"tare/internal/refcount"
	"tare/internal/registry"
	"tare/internal/store/memstore"
	"tare/internal/upload"
)

// passing is a clock that moves when somebody waits.
type passing struct{ *clock.Manual }

func (p passing) Pause(ctx context.Context, d time.Duration) error {
	p.Advance(d)
	return ctx.Err()
}

// middle stands before a handler.
type middle func(http.Handler) http.Handler

// world is a registry with a store that takes direct uploads, each behind a name of its own.
type world struct {
	clock passing
	dial  map[string]string // hosts to addresses
	load  int
	ctx   context.Context // nil: the test's
}

// fault is what stands where it should not.
type fault struct {
	registry, store middle
	stuck           bool // nothing that is completed is ever verified
	eventless       bool // the store sends no events
}

func newWorld(t *testing.T, f fault) *world {
	t.Helper()
	w := &world{clock: passing{clock.NewManual(time.Now())}, dial: map[string]string{}}
	s := memstore.New(w.clock, memstore.Options{MinPart: 5 << 20})
	w.serve(t, "store.example:80", s.Handler(), f.store)
	signer := s.Direct("http://store.example", w.clock)
	ledger, err := refcount.New(refcount.Stores{Table: s, Objects: s, Parts: s}, w.clock, refcount.Config{Margins: refcount.DefaultMargins(), InlineLimit: 4096})
	must(t, err)
	var uploads *upload.Uploads
	settle := func(ctx context.Context, id string) error {
		if f.stuck {
			return nil
		}
		_, err := uploads.Settle(ctx, id, w.clock.Now().Add(time.Hour))
		return err
	}
	uploads, err = upload.New(ledger, s, s, w.clock, upload.Options{Direct: signer, Settle: settle})
	must(t, err)
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	must(t, err)
	users := filepath.Join(t.TempDir(), "htpasswd")
	must(t, os.WriteFile(users, append([]byte("me:"), hash...), 0o600))
	guard, err := auth.New(auth.Options{Htpasswd: users, Clock: w.clock})
	must(t, err)
	reg := registry.New(ledger, uploads, s, registry.Options{Direct: signer})
	handler := ocihttp.New(reg, ocihttp.Options{Access: guard, Clock: w.clock})
	dated := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Date", w.clock.Now().Format(http.TimeFormat))
		handler.ServeHTTP(rw, r)
		if id, complete := strings.CutSuffix(path.Clean(r.URL.Path), "/complete"); complete && !f.eventless {
			raw, err := base64.RawURLEncoding.DecodeString(path.Base(id))
			if err != nil || settle(r.Context(), "o"+string(raw[:26])) != nil {
				t.Errorf("%s cannot be settled", r.URL.Path)
			}
		}
	})
	w.serve(t, "registry.example:80", dated, f.registry)
	return w
}

func (w *world) serve(t *testing.T, host string, h http.Handler, m middle) {
	if m != nil {
		h = m(h)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	w.dial[host] = server.Listener.Addr().String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// examine gives all findings by their checks.
func (w *world) examine(t *testing.T) map[string]doctor.Finding {
	t.Helper()
	transport := &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if to := w.dial[address]; to != "" {
			address = to
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	defer transport.CloseIdleConnections()
	found := map[string]doctor.Finding{}
	o := doctor.Options{URL: "http://registry.example", User: "me", Password: "secret", HTTP: transport, Clock: w.clock, Load: w.load}
	ctx := w.ctx
	if ctx == nil {
		ctx = t.Context()
	}
	must(t, doctor.Examine(ctx, o, func(f doctor.Finding) { found[f.Check] = f }))
	return found
}

func TestHealthy(t *testing.T) {
	w := newWorld(t, fault{})
	w.load = 4
	found := w.examine(t)
	for name, f := range found {
		if f.Result == doctor.Failed || f.Result == doctor.Skipped && name != "URL that has ended" {
			t.Errorf("%+v", f)
		}
	}
	if len(found) != 35 {
		t.Errorf("%d findings", len(found))
	}
}

// before does something to a request; it tells whether it has answered.
func before(do func(w http.ResponseWriter, r *http.Request) bool) middle {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !do(w, r) {
				next.ServeHTTP(w, r)
			}
		})
	}
}

// after changes answers.
func after(change func(r *http.Request, a *httptest.ResponseRecorder)) middle {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a := httptest.NewRecorder()
			next.ServeHTTP(a, r)
			change(r, a)
			for name, v := range a.Header() {
				w.Header()[name] = v
			}
			w.WriteHeader(a.Code)
			_, _ = w.Write(a.Body.Bytes())
		})
	}
}

func answer(status int) func(w http.ResponseWriter, r *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		return true
	}
}

// where limits something to requests.
func where(method, part string, do func(http.ResponseWriter, *http.Request) bool) middle {
	return before(func(w http.ResponseWriter, r *http.Request) bool {
		return (method == "" || r.Method == method) && strings.Contains(r.URL.Path, part) && do(w, r)
	})
}

func drop(header string) middle {
	return before(func(_ http.ResponseWriter, r *http.Request) bool { r.Header.Del(header); return false })
}

func silence(header string) middle {
	return after(func(_ *http.Request, a *httptest.ResponseRecorder) { a.Header().Del(header) })
}

// Every fault is found, by the check that is there for it.
func TestPlantedFaults(t *testing.T) {
	for name, c := range map[string]struct {
		fault fault
		check string
		saw   string
	}{
		"no challenge": {fault{registry: silence("WWW-Authenticate")}, "challenge", "401 without"},
		"a renamed challenge": {fault{registry: after(func(_ *http.Request, a *httptest.ResponseRecorder) {
			if v := a.Header().Get("WWW-Authenticate"); v != "" {
				a.Header().Del("WWW-Authenticate")
				a.Header().Set("X-Amzn-Remapped-Www-Authenticate", v)
			}
		})}, "challenge", "renamed"},
		"a realm elsewhere": {fault{registry: after(func(_ *http.Request, a *httptest.ResponseRecorder) {
			if a.Code == http.StatusUnauthorized {
				a.Header().Set("WWW-Authenticate", `Bearer realm="http://inside.example/token",service="tare"`)
			}
		})}, "challenge", "inside.example"},
		"credentials that get lost": {fault{registry: drop("Authorization")}, "login", "401"},
		"strangers let in": {fault{registry: where(http.MethodPost, "/blobs/uploads/", func(_ http.ResponseWriter, r *http.Request) bool {
			r.SetBasicAuth("me", "secret")
			return false
		})}, "closed", "without credentials"},
		"a wrong clock": {fault{registry: after(func(_ *http.Request, a *httptest.ResponseRecorder) {
			at, _ := http.ParseTime(a.Header().Get("Date"))
			a.Header().Set("Date", at.Add(-10*time.Minute).Format(http.TimeFormat))
		})}, "clock", "-10m"},
		"no pushes": {fault{registry: where(http.MethodPut, "/blobs/uploads/", answer(500))}, "push of a blob", "500"},
		"no Range":  {fault{registry: silence("Range")}, "upload in chunks", `Range ""`},
		"lengths are asked for": {fault{registry: before(func(w http.ResponseWriter, r *http.Request) bool {
			return r.ContentLength < 0 && answer(411)(w, r)
		})}, "body without a length", "411"},
		"empty bodies are refused": {fault{registry: where(http.MethodPut, "/blobs/", func(w http.ResponseWriter, r *http.Request) bool {
			return r.ContentLength == 0 && answer(411)(w, r)
		})}, "empty blob", "411"},
		"Expect is refused": {fault{registry: before(func(w http.ResponseWriter, r *http.Request) bool {
			return r.Header.Get("Expect") != "" && answer(417)(w, r)
		})}, "Expect: 100-continue", "417"},
		"both win a race": {fault{registry: where(http.MethodPut, "/manifests/race", func(_ http.ResponseWriter, r *http.Request) bool {
			r.Header.Del("If-Match")
			return false
		})}, "race for a tag", "8 moved the tag"},
		"nobody wins a race": {fault{registry: where(http.MethodPut, "/manifests/race", func(w http.ResponseWriter, r *http.Request) bool {
			return r.Header.Get("If-Match") != "" && answer(412)(w, r)
		})}, "race for a tag", "0 moved the tag"},
		"large manifests are cut": {fault{registry: after(func(r *http.Request, a *httptest.ResponseRecorder) {
			if r.Method == http.MethodGet && a.Body.Len() > 1<<20 {
				a.Code = 500
			}
		})}, "large manifest", "pull: status 500"},
		"the store's clock is wrong": {fault{store: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Date", time.Now().Add(20*time.Minute).UTC().Format(http.TimeFormat))
				next.ServeHTTP(w, r)
			})
		}}, "clocks of the store", "and the store 20m"},
		"no last part": {fault{store: before(func(w http.ResponseWriter, r *http.Request) bool {
			return r.URL.Query().Get("partNumber") == "10000" && answer(400)(w, r)
		})}, "number of parts", "part 10000"},
		"no events": {fault{eventless: true}, "event of the store", "asked directly, the function verified"},
		"part checksums are not signed": {fault{store: before(func(w http.ResponseWriter, r *http.Request) bool {
			return r.URL.Query().Has("partNumber") && r.Header.Get("X-Amz-Checksum-Sha256") == "" && answer(200)(w, r)
		})}, "direct parts", "without the checksum"},
		"no PATCH": {fault{registry: where(http.MethodPatch, "", answer(405))}, "upload in chunks", "405"},
		"HEAD of a blob is empty": {fault{store: after(func(r *http.Request, a *httptest.ResponseRecorder) {
			if r.Method == http.MethodHead {
				a.Header().Set("Content-Length", "0")
			}
		})}, "HEAD of a blob", "Content-Length 0"},
		"HEAD of a manifest is empty": {fault{registry: after(func(r *http.Request, a *httptest.ResponseRecorder) {
			if r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/manifests/") {
				a.Header().Set("Content-Length", "0")
			}
		})}, "HEAD of a manifest", "Content-Length 0"},
		"the store cannot be read": {fault{store: where(http.MethodGet, "", answer(403))}, "pull of a blob", "403"},
		"a store below the registry": {fault{registry: after(func(_ *http.Request, a *httptest.ResponseRecorder) {
			if to := a.Header().Get("Location"); strings.HasPrefix(to, "http://store.example/") {
				a.Header().Set("Location", strings.Replace(to, "store.example", "store.registry.example", 1))
			}
		})}, "pull of a blob", "store.registry.example"},
		"ranges are ignored": {fault{store: drop("Range")}, "range of a blob", "200"},
		"no digest":          {fault{registry: silence("Docker-Content-Digest")}, "push of a manifest", "Docker-Content-Digest"},
		"bodies are changed": {fault{registry: after(func(r *http.Request, a *httptest.ResponseRecorder) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/") {
				a.Body = bytes.NewBuffer(bytes.ReplaceAll(a.Body.Bytes(), []byte(":"), []byte(": ")))
				a.Header().Del("Content-Length")
			}
		})}, "pull of a manifest", "bytes of"},
		"conditions get lost": {fault{registry: drop("If-None-Match")}, "conditional writes", "If-None-Match"},
		"absent is forbidden": {fault{registry: after(func(_ *http.Request, a *httptest.ResponseRecorder) {
			if a.Code == http.StatusNotFound {
				a.Code = http.StatusForbidden
			}
		})}, "errors", "403"},
		"odd paths are errors": {fault{registry: before(func(w http.ResponseWriter, r *http.Request) bool {
			return strings.Contains(r.URL.EscapedPath(), "%25") && answer(502)(w, r)
		})}, "odd paths", "502"},
		"a small limit": {fault{registry: before(func(w http.ResponseWriter, r *http.Request) bool {
			return r.ContentLength > 1<<20 && answer(413)(w, r)
		})}, "body of 4 MiB", "413"},
		"a limit that is not told": {fault{registry: before(func(w http.ResponseWriter, r *http.Request) bool {
			return r.ContentLength > 6<<20 && answer(502)(w, r)
		})}, "body of 7 MiB", "502"},
		"short headers": {fault{registry: before(func(w http.ResponseWriter, r *http.Request) bool {
			return len(r.Header.Get("X-Tare-Doctor")) > 4096 && answer(431)(w, r)
		})}, "long headers", "431"},
		"a store that refuses": {fault{store: where(http.MethodPut, "", answer(403))}, "direct PUT", "403"},
		"a store that believes": {fault{store: before(func(w http.ResponseWriter, r *http.Request) bool {
			return r.Method == http.MethodPut && answer(200)(w, r)
		})}, "direct PUT, wrong body", "another body"},
		"URLs without an end": {fault{registry: after(func(r *http.Request, a *httptest.ResponseRecorder) {
			if !strings.HasSuffix(r.URL.Path, "/uploads") || a.Code != http.StatusCreated {
				return
			}
			var state map[string]any
			if json.Unmarshal(a.Body.Bytes(), &state) == nil && state["put"] != nil {
				at, _ := http.ParseTime(a.Header().Get("Date"))
				state["put"].(map[string]any)["ends"] = at.Add(20 * time.Second).Format(time.RFC3339)
				b, _ := json.Marshal(state)
				a.Body = bytes.NewBuffer(b)
				a.Header().Del("Content-Length")
			}
		})}, "URL that has ended", "after its end"},
		"parts that are believed": {fault{store: before(func(w http.ResponseWriter, r *http.Request) bool {
			return r.Method == http.MethodPut && r.ContentLength == 5<<20 && answer(200)(w, r)
		})}, "direct parts", "part 1 with another body"},
		"nothing is verified": {fault{stuck: true}, "direct parts", "not verified after"},
		"nothing is given up": {fault{registry: where(http.MethodDelete, "/_tare/", answer(204))}, "direct upload given up", "afterwards"},
		"parts that do not arrive": {fault{store: before(func(w http.ResponseWriter, r *http.Request) bool {
			return r.Method == http.MethodPut && r.ContentLength == 1<<20 && answer(403)(w, r)
		})}, "client of direct uploads", "403"},
		"deletes are refused": {fault{registry: where(http.MethodDelete, "/manifests/", answer(405))}, "cleanup", "405"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newWorld(t, c.fault).examine(t)[c.check]
			if f.Result != doctor.Failed || !strings.Contains(f.Saw, c.saw) || f.Means == "" || f.Change == "" {
				t.Errorf("%+v", f)
			}
			if strings.Contains(f.Saw, "ignature=") {
				t.Error("it shows a signed URL")
			}
		})
	}
}

// A registry that begins to fail under load, and one that says when to come again.
func TestLoad(t *testing.T) {
	turns := make(chan bool, 1000)
	for i := range 1000 {
		turns <- i%3 == 0
	}
	busy := where(http.MethodPut, "/manifests/load", func(w http.ResponseWriter, r *http.Request) bool {
		if !<-turns {
			return false
		}
		w.Header().Set("Retry-After", "1")
		return answer(503)(w, r)
	})
	w := newWorld(t, fault{registry: busy})
	w.load = 3
	if f := w.examine(t)["load"]; f.Result != doctor.Passed || !strings.Contains(f.Saw, " 0 of them without") || strings.Contains(f.Saw, "nobody was asked") {
		t.Errorf("%+v", f)
	}
	w = newWorld(t, fault{registry: where(http.MethodPut, "/manifests/load", answer(500))})
	w.load = 3
	if f := w.examine(t)["load"]; f.Result != doctor.Failed || !strings.Contains(f.Saw, "15 failed") {
		t.Errorf("%+v", f)
	}
}

// A cache that answers with what a tag pointed to before.
func TestLoadIsKept(t *testing.T) {
	var first atomic.Pointer[string]
	w := newWorld(t, fault{registry: where("", "/manifests/load-0", func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			body, err := io.ReadAll(r.Body)
			must(t, err)
			text := string(body)
			first.CompareAndSwap(nil, &text)
			r.Body = io.NopCloser(bytes.NewReader(body))
			return false
		}
		_, _ = io.WriteString(w, *first.Load())
		return true
	})})
	w.load = 2
	if f := w.examine(t)["load"]; f.Result != doctor.Failed || !strings.Contains(f.Saw, "the tag load-0") {
		t.Errorf("%+v", f)
	}
}

// What is broken off is taken away: uploads, too.
func TestBrokenOff(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	given := new(atomic.Int64)
	w := newWorld(t, fault{
		store: where(http.MethodPut, "", func(http.ResponseWriter, *http.Request) bool { cancel(); return false }),
		registry: after(func(r *http.Request, a *httptest.ResponseRecorder) {
			if strings.Contains(r.URL.Path, "/_tare/v1/uploads/") && r.Method == http.MethodDelete && a.Code == http.StatusNoContent {
				given.Add(1)
			}
		}),
	})
	w.ctx = ctx
	found := w.examine(t)
	if f := found["cleanup"]; f.Result != doctor.Passed || strings.Contains(f.Saw, "0 manifests") || found["load"].Check != "" {
		t.Errorf("%+v", f)
	}
	for name, f := range found {
		if f.Result == doctor.Failed {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if given.Load() != 1 {
		t.Errorf("%d given up", given.Load())
	}
}

// Nobody answers: that is said once.
func TestSilence(t *testing.T) {
	w := newWorld(t, fault{registry: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	}})
	if found := w.examine(t); len(found) != 1 || found["challenge"].Result != doctor.Failed {
		t.Errorf("%+v", found)
	}
}

func TestCleansUp(t *testing.T) {
	var mu sync.Mutex
	var left []string
	w := newWorld(t, fault{registry: after(func(r *http.Request, a *httptest.ResponseRecorder) {
		at, isManifest := strings.CutPrefix(r.URL.Path, "/v2/")
		_, at, _ = strings.Cut(at, "/")
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodDelete && a.Code == http.StatusAccepted {
			left = slices.DeleteFunc(left, func(d string) bool { return strings.HasSuffix(at, d) })
		} else if d := a.Header().Get("Docker-Content-Digest"); isManifest && a.Code == http.StatusCreated && d != "" && !slices.Contains(left, d) {
			left = append(left, d)
		}
	})})
	if f := w.examine(t)["cleanup"]; f.Result != doctor.Passed || len(left) != 0 {
		t.Errorf("%+v; left: %v", f, left)
	}
}

func TestWrongURL(t *testing.T) {
	for _, url := range []string{"", "http://", "ftp://host", "https://host/v2/x", "https://me:secret@host"} {
		if err := doctor.Examine(t.Context(), doctor.Options{URL: url, Clock: clock.System{}}, func(doctor.Finding) {}); err == nil {
			t.Errorf("%q: taken", url)
		}
	}
}
