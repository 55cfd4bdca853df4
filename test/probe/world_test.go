// SPDX-License-Identifier: Apache-2.0

// Package probe asks the registry for what it must not give: content of which only the digest is known, uploads by ids
// that nobody was given, rights by tokens that nobody made, memory without end. The registry is put together as by tare
// serve, over a store in memory that records its calls. What a slow or endless connection gets is asked in cmd/tare,
// where the server is.
package probe

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/crypto/bcrypt"

	"tare/internal/auth"
	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/ocihttp"
	"tare/internal/refcount"
	"tare/internal/registry"
	"tare/internal/store"
	"tare/internal/store/faultstore"
	"tare/internal/store/memstore"
	"tare/internal/upload"
)

// inlineLimit is that of tare serve.
const inlineLimit = 32 << 10

// password is everybody's, and so is its hash: who is who is for their tokens to say.
const password = "the same"

// The users.
const (
	writer   = "writer"
	reader   = "reader"   // read-only
	nobody   = "nobody"   // has an anonymous token
	stranger = "stranger" // has nothing
	blind    = "blind"    // a writer who may not read other repositories, which no user of today's guard is
)

// world is a registry at one moment.
type world struct {
	t      *testing.T
	store  *memstore.Store
	clock  *clock.Manual
	file   string            // htpasswd
	tokens map[string]string // by user
	sparse bool

	*faultstore.Process
	ledger *refcount.Ledger
	guard  *auth.Guard
	http   http.Handler
	blind  http.Handler
}

func newWorld(t *testing.T, sparse bool) *world {
	t.Helper()
	return newWorldOn(t, sparse, memstore.Options{})
}

// newWorldOn is newWorld on a store of another kind. One whose parts have a least size takes requests of clients.
func newWorldOn(t *testing.T, sparse bool, kind memstore.Options) *world {
	t.Helper()
	clk := clock.NewManual(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
	w := &world{t: t, store: memstore.New(clk, kind), clock: clk, file: filepath.Join(t.TempDir(), "htpasswd"), sparse: sparse}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	w.must(err)
	w.must(os.WriteFile(w.file, fmt.Appendf(nil, "%s:%s\n%s:%s\n", writer, hash, reader, hash), 0o600))
	w.boot(1, nil)
	w.login()
	return w
}

// login gets a token for everybody who can have one.
func (w *world) login() {
	w.t.Helper()
	w.tokens = map[string]string{writer: w.token(writer), reader: w.token(reader), nobody: w.token("")}
	w.tokens[blind] = w.tokens[writer]
}

// boot starts a process on the store. Its keys and tokens follow from the seed.
func (w *world) boot(seed uint64, plan faultstore.Plan) {
	w.t.Helper()
	w.Process = faultstore.New(faultstore.Options{Plan: plan})
	stores := refcount.Stores{Table: w.Table(w.store), Objects: w.Objects(w.store), Parts: w.Multipart(w.store)}
	src := rand.New(rand.NewPCG(seed, seed))
	var err error
	w.ledger, err = refcount.New(stores, w.clock, refcount.Config{
		Margins: refcount.DefaultMargins(), InlineLimit: inlineLimit,
		NewToken: func() string { return fmt.Sprintf("%013x%013x", src.Uint64()>>12, src.Uint64()>>12) },
	})
	w.must(err)
	var direct store.Direct
	if w.store.MinPart() > 0 {
		direct = w.Direct(w.store.Direct("http://store", w.clock))
	}
	uploads, err := upload.New(w.ledger, stores.Objects, stores.Parts, w.clock, upload.Options{Direct: direct})
	w.must(err)
	keys := w.ledger.Keyring("token")
	_, err = keys.Key(w.t.Context())
	w.must(err)
	w.guard, err = auth.New(auth.Options{Htpasswd: w.file, ReadOnly: []string{reader}, AnonymousPull: true, TokenKeys: keys,
		Clock: w.clock, Log: slog.New(slog.DiscardHandler)})
	w.must(err)
	reg := registry.New(w.ledger, uploads, stores.Objects, registry.Options{SparseIndexes: w.sparse, Direct: direct})
	w.http = w.door(reg, w.guard)
	w.blind = w.door(reg, blindfold{w.guard})
}

func (w *world) door(reg oci.Registry, access ocihttp.Access) http.Handler {
	h := ocihttp.New(reg, ocihttp.Options{Access: access, Clock: w.clock, StallTimeout: time.Minute})
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == auth.TokenPath {
			w.guard.ServeToken(rw, r)
			return
		}
		h.ServeHTTP(rw, r)
	})
}

// blindfold lets callers do what they ask for, and nothing else.
type blindfold struct{ *auth.Guard }

func (b blindfold) Authorize(r *http.Request, needs ...auth.Need) (auth.Caller, error) {
	c, err := b.Guard.Authorize(r, needs...)
	return auth.Caller{Name: c.Name}, err
}

// clone is the same world, to go another way in.
func (w *world) clone(t *testing.T) *world {
	t.Helper()
	c := &world{t: t, clock: clock.NewManual(w.clock.Now()), file: w.file, tokens: w.tokens, sparse: w.sparse}
	c.store = w.store.Clone(c.clock)
	c.boot(2, nil)
	return c
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) audit() {
	w.t.Helper()
	findings, err := w.ledger.Audit(w.t.Context(), w.store)
	w.must(err)
	for _, f := range findings {
		w.t.Error(f)
	}
}

// token asks for the token of a user; "" asks for an anonymous one.
func (w *world) token(user string) string {
	w.t.Helper()
	r := httptest.NewRequest("GET", auth.TokenPath, nil)
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	rec := httptest.NewRecorder()
	w.http.ServeHTTP(rec, r)
	var answer struct{ Token string }
	w.must(json.Unmarshal(rec.Body.Bytes(), &answer))
	return answer.Token
}

// ask is a request. In its path, {upload} stands for the path of the last Location of an upload.
type ask struct {
	method, path, body string
	header             []string // "Name: value"
}

// do sends a request as a user.
func (w *world) do(user string, a ask) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequest(a.method, a.path, strings.NewReader(a.body))
	r.Header.Set("X-Request-Id", "probe")
	if token := w.tokens[user]; token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for _, line := range a.header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	rec := httptest.NewRecorder()
	if user == blind {
		w.blind.ServeHTTP(rec, r)
	} else {
		w.http.ServeHTTP(rec, r)
	}
	return rec
}

// want sends a request as the writer, who must get that status.
func (w *world) want(status int, a ask) *httptest.ResponseRecorder {
	w.t.Helper()
	rec := w.do(writer, a)
	if rec.Code != status {
		w.t.Fatalf("%s %s: %d %s", a.method, a.path, rec.Code, rec.Body)
	}
	return rec
}

// seen is all that a client can learn from answers, and all that the store was asked.
type seen struct{ answers, calls string }

// What is random in the calls that an upload makes: the name of its row, and the slice of the index that follows from it.
var (
	session = regexp.MustCompile(`s#[0-9a-f]{32}`)
	shard   = regexp.MustCompile(`shard Value:{kind:2 n:\d+`)
)

// watch sends requests one after another. What is random in an upload's id is left out of what is seen.
func (w *world) watch(user string, asks ...ask) seen {
	w.t.Helper()
	var answers, calls strings.Builder
	location, before := uploads+"none", w.Calls()
	for _, a := range asks {
		a.path = strings.ReplaceAll(a.path, "{upload}", location)
		rec := w.do(user, a)
		header := rec.Header().Clone()
		if id := header.Get("Docker-Upload-Uuid"); id != "" {
			location = header.Get("Location")
			header.Set("Location", strings.ReplaceAll(location, id, "<upload>"))
			header.Set("Docker-Upload-Uuid", "<upload>")
		}
		fmt.Fprintln(&answers, rec.Code, header, rec.Body)
	}
	for _, step := range w.Trace()[before:] {
		fmt.Fprintf(&calls, "%v %+v: %v\n", step.Kind, step.Call, step.Err)
	}
	return seen{answers.String(), shard.ReplaceAllString(session.ReplaceAllString(calls.String(), "<session>"), "<shard>")}
}

func digestOf(content string) string { return digest.FromString(content).String() }

// pushBlob uploads a blob in one request.
func (w *world) pushBlob(repo, content string) string {
	w.t.Helper()
	d := digestOf(content)
	w.want(http.StatusCreated, ask{"POST", "/v2/" + repo + "/blobs/uploads/?digest=" + d, content, nil})
	return d
}

func (w *world) pushManifest(repo, tag, manifest string) string {
	w.t.Helper()
	d := digestOf(manifest)
	ref := tag
	if ref == "" {
		ref = d
	}
	w.want(http.StatusCreated, ask{"PUT", "/v2/" + repo + "/manifests/" + ref, manifest, nil})
	return d
}

func descriptor(mediaType, d string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":1}`, mediaType, d)
}

const (
	mediaTypeConfig  = "application/vnd.oci.image.config.v1+json"
	mediaTypeLayer   = "application/vnd.oci.image.layer.v1.tar"
	mediaTypeForeign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
)

// image makes an image manifest; more is text to add to it.
func image(config string, layers []string, more string) string {
	list := make([]string, len(layers))
	for i, d := range layers {
		list[i] = descriptor(mediaTypeLayer, d)
	}
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]%s}`,
		oci.MediaTypeManifest, descriptor(mediaTypeConfig, config), strings.Join(list, ","), more)
}

func index(children ...string) string {
	list := make([]string, len(children))
	for i, d := range children {
		list[i] = descriptor(oci.MediaTypeManifest, d)
	}
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, oci.MediaTypeIndex, strings.Join(list, ","))
}

func subject(d string) string { return `,"subject":` + descriptor(oci.MediaTypeManifest, d) }

// known is what a prober knows of a repository: names, and no content.
type known struct{ config, layer, image, index, referrer string }

// manifests are the digests of manifests among what is known, blobs all of it: a manifest is no blob.
func (k known) manifests() []string { return []string{k.image, k.index, k.referrer} }
func (k known) blobs() []string     { return []string{k.config, k.layer, k.image} }

// smallContent is kept in the table, largeContent in an object.
func smallContent(of string) string { return "the config of " + of }
func largeContent(of string) string { return strings.Repeat("the layer of "+of+"\n", inlineLimit/16) }

// fill pushes an image with a small and a large blob, an index of it, and a referrer.
func (w *world) fill(repo, of, tag string) (k known) {
	w.t.Helper()
	k.config, k.layer = w.pushBlob(repo, smallContent(of)), w.pushBlob(repo, largeContent(of))
	k.image = w.pushManifest(repo, tag, image(k.config, []string{k.layer}, ""))
	k.index = w.pushManifest(repo, tag+"-index", index(k.image))
	k.referrer = w.pushManifest(repo, "", image(k.config, nil, subject(k.image)+`,"artifactType":"text/x-signature"`))
	return k
}

// view is all that a reader can see of a repository.
func (w *world) view(repo string, k known) string {
	w.t.Helper()
	var asks []ask
	for _, d := range k.manifests() {
		asks = append(asks, ask{"GET", "/v2/" + repo + "/manifests/" + d, "", nil}, ask{"GET", "/v2/" + repo + "/referrers/" + d, "", nil})
	}
	for _, d := range k.blobs() {
		asks = append(asks, ask{"GET", "/v2/" + repo + "/blobs/" + d, "", nil})
	}
	asks = append(asks, ask{"GET", "/v2/" + repo + "/tags/list", "", nil})
	return w.watch(writer, asks...).answers
}

// firstDifference shows where two texts part.
func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range max(len(x), len(y)) {
		if i >= len(x) || i >= len(y) || x[i] != y[i] {
			return fmt.Sprintf("%.600q\n%.600q", strings.Join(x[min(i, len(x)):], "\n"), strings.Join(y[min(i, len(y)):], "\n"))
		}
	}
	return ""
}
