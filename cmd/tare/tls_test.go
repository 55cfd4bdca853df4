// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tare/internal/clock"
)

// writeCertificate makes a self-signed pair for name, good for loopback.
func writeCertificate(t *testing.T, dir, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := clock.System{}.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeFile(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeFile(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	return certFile, keyFile
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// serves returns the name of the certificate that is in force.
func serves(t *testing.T, k *certificate) string {
	t.Helper()
	pair, err := k.get(nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf.Subject.CommonName
}

func TestCertificateIsLoadedAgain(t *testing.T) {
	dir, c, log := t.TempDir(), clock.NewManual(time.Unix(1e9, 0)), new(bytes.Buffer)
	certFile, keyFile := writeCertificate(t, dir, "first")
	k, err := loadCertificate(certFile, keyFile, c, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}

	writeCertificate(t, dir, "second")
	if got := serves(t, k); got != "first" {
		t.Errorf("%s, within a second", got)
	}
	c.Advance(time.Second)
	if got := serves(t, k); got != "second" {
		t.Errorf("%s, after a change", got)
	}

	// A renewal that is half done: the certificate is new, the key is not.
	oldKey, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	writeCertificate(t, dir, "third")
	newKey, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, keyFile, string(oldKey))
	for range 3 {
		c.Advance(time.Second)
		if got := serves(t, k); got != "second" {
			t.Errorf("%s, with half a pair", got)
		}
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("half a pair was reported %d times", n)
	}
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	c.Advance(time.Second)
	if got := serves(t, k); got != "second" {
		t.Errorf("%s, without a key", got)
	}
	writeFile(t, keyFile, string(newKey))
	c.Advance(time.Second)
	if got := serves(t, k); got != "third" {
		t.Errorf("%s, with the whole pair", got)
	}
}

func TestCertificateRefused(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := writeCertificate(t, dir, "a")
	other := t.TempDir()
	_, otherKey := writeCertificate(t, other, "b")
	for name, files := range map[string][2]string{
		"another key":    {certFile, otherKey},
		"no certificate": {filepath.Join(dir, "none"), keyFile},
		"no key":         {certFile, filepath.Join(dir, "none")},
		"swapped":        {keyFile, certFile},
	} {
		if _, err := loadCertificate(files[0], files[1], clock.System{}, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestTLSVersions(t *testing.T) {
	certFile, keyFile := writeCertificate(t, t.TempDir(), "a")
	k, err := loadCertificate(certFile, keyFile, clock.System{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		client, server := net.Pipe()
		go func() {
			conn := tls.Server(server, k.config())
			_ = conn.Handshake() // the client's side tells how it went
			server.Close()
		}()
		conn := tls.Client(client, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
		if err := conn.Handshake(); (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		client.Close()
	}
}
