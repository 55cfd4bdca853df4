// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"time"

	"tare/internal/auth"
	"tare/internal/oci"
	"tare/internal/ocihttp"
	"tare/internal/registry"
	"tare/internal/upload"
)

// serveCmd serves a data folder.
type serveCmd struct {
	dataFlag

	Listen string `help:"The address to serve on." default:"127.0.0.1:5000" group:"Network"`
	URL    string `name:"url" help:"The address at which clients reach the registry, where that is another one: behind a proxy." group:"Network" placeholder:"URL"`

	TLSCert string `name:"tls-cert" help:"Serve TLS with this certificate, a PEM file with its chain. It is loaded again when it changes." group:"Network" placeholder:"FILE"`
	TLSKey  string `name:"tls-key" help:"The key of the certificate, a PEM file." group:"Network" placeholder:"FILE"`

	MetricsListen   string   `help:"Serve /metrics on an address of its own." group:"Network" placeholder:"HOST:PORT"`
	StallTimeout    duration `help:"End requests whose client sends or takes nothing for this long; 0: never." default:"1m" group:"Network"`
	ShutdownTimeout duration `help:"Let requests come to their end for this long when the server is told to stop." default:"5m" group:"Network"`
	AccessLog       bool     `help:"Log every request, and not only those that failed by the fault of the registry." group:"Network"`

	Htpasswd      string   `help:"The users: a file of bcrypt hashes as htpasswd -B writes it. It is read again when it changes." group:"Access" placeholder:"FILE"`
	ReadOnlyUsers []string `help:"Users who may pull and nothing else." group:"Access" placeholder:"NAME"`
	AnonymousPull bool     `help:"Let everybody pull." group:"Access"`
	Open          bool     `help:"Let everybody who can connect pull, push and delete, also from other machines." group:"Access"`

	GCInterval       duration `name:"gc-interval" help:"Sweep this often." default:"1m" group:"Storage"`
	MinFree          *size    `help:"Refuse uploads while the disk has less left than this (1GiB, or a twentieth of a small disk)." group:"Storage" placeholder:"SIZE"`
	AllowSparseIndex bool     `help:"Accept an index whose manifests are not all there." group:"Storage"`

	marginFlags
}

// access is what the command says of who may connect and what they may do then.
type access struct {
	address *net.TCPAddr // to serve on
	metrics *net.TCPAddr // to serve /metrics on; nil: none of its own
}

// remote tells whether other machines can reach the address.
func remote(a *net.TCPAddr) bool { return !a.IP.IsLoopback() }

// access resolves the addresses and refuses what would leave the registry open to strangers unless the command says so.
func (cmd *serveCmd) access() (a access, err error) {
	if a.address, err = net.ResolveTCPAddr("tcp", cmd.Listen); err != nil {
		return a, usagef("--listen: %w", err)
	}
	if cmd.MetricsListen != "" {
		if a.metrics, err = net.ResolveTCPAddr("tcp", cmd.MetricsListen); err != nil {
			return a, usagef("--metrics-listen: %w", err)
		}
	}
	switch {
	case (cmd.TLSCert == "") != (cmd.TLSKey == ""):
		return a, usagef("--tls-cert and --tls-key belong together")
	case cmd.Open && cmd.Htpasswd != "":
		return a, usagef("--open lets everybody in and --htpasswd does not: say one of them")
	case cmd.Htpasswd == "" && (cmd.AnonymousPull || len(cmd.ReadOnlyUsers) > 0):
		return a, usagef("--anonymous-pull and --read-only-users need --htpasswd: without it, everybody may do everything")
	case remote(a.address) && cmd.Htpasswd == "" && !cmd.Open:
		return a, usagef("%s can be reached from other machines: name the users with --htpasswd, or say --open to let everybody pull, push and delete", cmd.Listen)
	case a.metrics != nil && remote(a.metrics) && cmd.Htpasswd == "":
		return a, usagef("%s can be reached from other machines: metrics are for users only, so name them with --htpasswd, or serve metrics on a loopback address", cmd.MetricsListen)
	case cmd.GCInterval <= 0:
		return a, usagef("--gc-interval must be more than 0")
	}
	if cmd.URL != "" {
		if u, err := url.Parse(cmd.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" && u.Path != "/" {
			return a, usagef("--url: %q is not of the form https://registry.example", cmd.URL)
		}
	}
	return a, nil
}

// What the garbage collector of Go may use, unless the environment says something else. A server's live heap is small
// beside what passes through it, so that to collect at twice the heap is to collect all the time: at five times it, reads
// are up to a fifth faster. The limit keeps a heap that is large for once from growing fivefold.
const (
	gcPercent   = 400
	memoryLimit = 256 << 20
)

func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}

// Run serves until the context ends, or the disk fails.
func (cmd *serveCmd) Run(ctx context.Context, c *console) (err error) {
	access, err := cmd.access()
	if err != nil {
		return err
	}
	tuneMemory()
	// What can go wrong without the data folder does so before it: a start that fails makes none.
	if err := cmd.users(c).Check(); err != nil {
		return err
	}
	doors, err := cmd.openDoors(c, access)
	if err != nil {
		return err
	}
	defer doors.close()
	m := newMetrics()
	f, err := openFolder(cmd.Data, cmd.margins(), c.clock, m.measure(c.clock))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	m.watch(f.store)
	s, err := cmd.server(c, doors, f, m)
	if err == nil {
		err = s.listen()
	}
	if err != nil {
		return errors.Join(err, f.store.Discard())
	}
	cmd.greet(c.out, s.public.listener.Addr())
	if remote(access.address) && doors.certificate == nil {
		c.log.Warn("This server is reached from other machines without TLS: passwords and images can be read on the way, unless a proxy in front of it serves TLS.")
	}
	return s.run(ctx, time.Duration(cmd.GCInterval), time.Duration(cmd.ShutdownTimeout))
}

// server puts the rooms together.
func (cmd *serveCmd) server(c *console, d *doors, f *folder, m *metrics) (*server, error) {
	guard, err := cmd.guard(c, f)
	if err != nil {
		return nil, err
	}
	reg, err := cmd.registry(c, f)
	if err != nil {
		return nil, err
	}
	s := &server{folder: f, clock: c.clock, log: c.log, failed: f.store.Failed(), failure: f.store.Err}
	s.sweeper = newSweeper(f.ledger, c.clock, c.log, m.sweep)
	s.drain = newDrain(c.clock)
	requests := s.drain.watch(ocihttp.New(reg, ocihttp.Options{
		Access:       guard,
		Clock:        c.clock,
		Log:          c.log,
		AccessLog:    cmd.AccessLog,
		Refuse:       s.drain.refuse,
		Observe:      m.request,
		StallTimeout: time.Duration(cmd.StallTimeout),
	}))

	paths := map[string]http.Handler{
		auth.TokenPath: http.HandlerFunc(guard.ServeToken),
		"/healthz":     http.HandlerFunc(s.healthy),
		"/readyz":      http.HandlerFunc(s.ready),
	}
	const metricsPath = "/metrics"
	users := cmd.Htpasswd != ""
	switch {
	case d.metrics != nil:
		s.metrics = s.front(d.metrics, brief(dispatch(map[string]http.Handler{
			metricsPath: metricsHandler(m, guard, users && remote(d.access.metrics)),
		}, http.NotFoundHandler()), c.clock))
	case users || !remote(d.access.address):
		paths[metricsPath] = metricsHandler(m, guard, users)
	}
	for path, h := range paths {
		paths[path] = brief(h, c.clock)
	}
	s.public = s.front(d.public, dispatch(paths, requests))
	return s, nil
}

// registry makes the registry on the folder.
func (cmd *serveCmd) registry(c *console, f *folder) (oci.Registry, error) {
	least, err := floorOf(cmd.MinFree, f.path)
	if err != nil {
		return nil, err
	}
	reserve := floor{free: f.store.Free, least: least}
	uploads, err := upload.New(f.ledger, f.stores.Objects, f.stores.Parts, c.clock, upload.Options{Room: reserve.room})
	if err != nil {
		return nil, err
	}
	r := registry.New(f.ledger, uploads, f.stores.Objects, registry.Options{SparseIndexes: cmd.AllowSparseIndex})
	return &floored{Registry: r, floor: reserve}, nil
}

func (cmd *serveCmd) users(c *console) auth.Options {
	return auth.Options{
		Htpasswd:      cmd.Htpasswd,
		ReadOnly:      cmd.ReadOnlyUsers,
		AnonymousPull: cmd.AnonymousPull,
		Clock:         c.clock,
		Log:           c.log,
	}
}

// guard makes the one who decides who may do what.
func (cmd *serveCmd) guard(c *console, f *folder) (*auth.Guard, error) {
	o := cmd.users(c)
	if cmd.URL != "" {
		u, err := url.JoinPath(cmd.URL, auth.TokenPath)
		if err != nil {
			return nil, err
		}
		o.TokenURL = u
	}
	o.TokenKeys = f.ledger.Keyring("token")
	return auth.New(o)
}

// dispatch serves some exact paths, and everything else by rest. Unlike http.ServeMux it redirects nothing: what is
// below /v2/ is the registry's to answer, however odd.
func dispatch(paths map[string]http.Handler, rest http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h, ok := paths[r.URL.Path]; ok {
			h.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

// metricsHandler serves the metrics; where users is set, to users only, and not to holders of anonymous tokens.
func metricsHandler(m *metrics, guard *auth.Guard, users bool) http.Handler {
	h := m.handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if users {
			if caller, err := guard.Authorize(r); err != nil || caller.Name == "" {
				w.Header().Set("WWW-Authenticate", `Basic realm="tare"`)
				http.Error(w, "metrics are for users", http.StatusUnauthorized)
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}

// greet prints how to push.
func (cmd *serveCmd) greet(w io.Writer, listening net.Addr) {
	scheme, host := "http", listening.String()
	if cmd.TLSCert != "" {
		scheme = "https"
	}
	if a, ok := listening.(*net.TCPAddr); ok && a.IP.IsUnspecified() {
		host = fmt.Sprintf("localhost:%d", a.Port)
	}
	if u, err := url.Parse(cmd.URL); err == nil && u.Host != "" {
		scheme, host = u.Scheme, u.Host
	}
	fmt.Fprintf(w, "Tare %s serves %s at %s://%s\n\n", buildVersion(), cmd.Data, scheme, host)
	if cmd.Htpasswd != "" {
		fmt.Fprintf(w, "  docker login %s\n", host)
	}
	fmt.Fprintf(w, "  docker tag IMAGE %s/IMAGE\n  docker push %s/IMAGE\n\n", host, host)
}
