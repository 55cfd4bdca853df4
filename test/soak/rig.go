// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"time"

	"tare/test/soak/ledger"
	"tare/test/soak/load"
	"tare/test/soak/server"
)

// The margins are as short as their inequalities allow a busy machine: what is deleted goes within seconds.
const (
	lease     = 4 * time.Second
	patience  = time.Minute // until everything is gone that nobody needs
	sweepRest = 300 * time.Millisecond
)

func settings() map[string]string {
	return map[string]string{
		"lease":           lease.String(),
		"max-step":        "1s",
		"skew":            "0s",
		"grace":           "6s",
		"undo-window":     "4s",
		"max-put":         "4s",
		"upload-ttl":      "6s",
		"url-life":        "0s",
		"tombstone-delay": "6s",
		"stage-lease":     "3s",
		"close-grace":     "2s",
		"history":         "3s",
		"gc-interval":     sweepRest.String(),
		"log-format":      "json",
	}
}

// rig is a registry with its clients, and what they were told.
type rig struct {
	*server.Registry
	name   string
	ledger *ledger.Ledger
	load   *load.Load
	http   *http.Client
	random *rand.Rand
	rival  bool // its failures are losses, and end nothing
}

// newRig makes a tare that is not running, on a folder below dir, or on data if that is not "".
func (s *soak) newRig(name, data string, more map[string]string) (*rig, error) {
	if data == "" {
		data = filepath.Join(s.dir, name)
	}
	all := settings()
	for name, value := range more {
		all[name] = value
	}
	if s.keep {
		all["access-log"] = "true"
	}
	registry, err := server.New(s.tare, data, filepath.Join(s.dir, name+".log"), all)
	if err != nil {
		return nil, err
	}
	r := s.rig(name, registry, lease)
	r.load.Undelete = func(ctx context.Context, target string) error {
		_, err := registry.Command(ctx, "undelete", target)
		return err
	}
	s.rigs = append(s.rigs, r)
	return r, nil
}

// rig puts clients before a registry that keeps a blob for lease after it told of it.
func (s *soak) rig(name string, registry *server.Registry, lease time.Duration) *rig {
	s.seeds++
	seed := s.seed + s.seeds
	l := ledger.New(lease)
	transport := l.Transport(&http.Transport{MaxIdleConnsPerHost: 64})
	return &rig{
		Registry: registry,
		name:     name,
		ledger:   l,
		load: &load.Load{
			Addr: registry.Addr, Transport: transport, Ledger: l, Seed: seed,
			Workers: 6, Most: 300, Largest: 2 << 20,
		},
		http:   &http.Client{Transport: transport},
		random: rand.New(rand.NewPCG(seed, 0)),
	}
}

// up starts the registry and waits until it serves.
func (r *rig) up(ctx context.Context) error {
	if err := r.Start(); err != nil {
		return err
	}
	return r.Ready(ctx)
}

// during has clients at work until do returns, and then until they have given up.
func (r *rig) during(ctx context.Context, do func() error) error {
	working, stop := context.WithCancel(ctx)
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		r.load.Run(working)
	}()
	err := do()
	stop()
	<-idle
	return err
}

// between is a random time, as likely to be short as long.
func (r *rig) between(least, most time.Duration) time.Duration {
	return time.Duration(float64(least) * math.Pow(float64(most)/float64(least), r.random.Float64()))
}

// sleep waits, or fails when the context ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fsck has the program compare everything with everything, and all bytes with their digests.
func (r *rig) fsck(ctx context.Context) {
	if out, err := r.Command(ctx, "fsck", "--content", "all"); err != nil {
		r.ledger.Lose("%v: %s", err, out)
	}
}

// judge fails where something was lost: the part ends, with the folder as it is.
func (r *rig) judge() error {
	if r.ledger.Counts().Losses > 0 && !r.rival {
		return errors.New("something was lost")
	}
	return nil
}

// wantQuietLog loses what the registry logged as an error: its disk was well.
func (r *rig) wantQuietLog() error {
	logged, err := r.ReadLog()
	for _, line := range logged.Errors {
		r.ledger.Lose("the registry logged %s", line)
	}
	return err
}
