// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"tare/internal/clock"
)

// certificate is a key pair in two files, which is loaded again when either changes. While a changed pair cannot be
// used (its second file is still to come), the last good one stays in force.
type certificate struct {
	certFile, keyFile string
	clock             clock.Clock
	log               *slog.Logger

	mu      sync.Mutex // guards what follows
	pair    *tls.Certificate
	checked time.Time
	seen    [2]os.FileInfo // of the last reading, good or not
	broken  string         // what was wrong with it, "" when it is in force
}

// certificateCheck is how often the files are looked at, at most.
const certificateCheck = time.Second

func loadCertificate(certFile, keyFile string, c clock.Clock, log *slog.Logger) (*certificate, error) {
	k := &certificate{certFile: certFile, keyFile: keyFile, clock: c, log: log, checked: c.Now()}
	if err := k.load(); err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err)
	}
	return k, nil
}

// load reads the pair. The files are looked at before they are read, so that a change meanwhile is seen later.
func (k *certificate) load() error {
	k.seen = k.look()
	pair, err := tls.LoadX509KeyPair(k.certFile, k.keyFile)
	if err != nil {
		return err
	}
	k.pair = &pair
	return nil
}

// look returns what the files look like from outside; nil for one that is not there.
func (k *certificate) look() (seen [2]os.FileInfo) {
	for i, name := range []string{k.certFile, k.keyFile} {
		if info, err := os.Stat(name); err == nil {
			seen[i] = info
		}
	}
	return seen
}

// changed tells whether a file looks different from the last reading.
func (k *certificate) changed() bool {
	for i, now := range k.look() {
		then := k.seen[i]
		if now == nil || then == nil {
			if now != then {
				return true
			}
			continue
		}
		if !os.SameFile(now, then) || now.Size() != then.Size() || !now.ModTime().Equal(then.ModTime()) {
			return true
		}
	}
	return false
}

// get returns the pair in force, after a look at the files when the last one is long enough ago.
func (k *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.clock.Now()
	if since := now.Sub(k.checked); since >= 0 && since < certificateCheck {
		return k.pair, nil
	}
	k.checked = now
	if !k.changed() {
		return k.pair, nil
	}
	if err := k.load(); err != nil {
		if k.broken != err.Error() {
			k.broken = err.Error()
			k.log.Error("The changed certificate cannot be used, the one before stays in force.", "certificate", k.certFile, "error", err)
		}
		return k.pair, nil
	}
	k.broken = ""
	k.log.Info("The certificate was loaded again.", "certificate", k.certFile)
	return k.pair, nil
}

// config is the server's side of TLS: at least version 1.2, the certificate as it is at each handshake.
func (k *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: k.get,
		NextProtos:     []string{"h2", "http/1.1"},
	}
}
