// SPDX-License-Identifier: Apache-2.0

// Package bare is the yardstick for large uploads: a net/http handler that takes a body, hashes it, writes it to a file and syncs
// the file, and does nothing else. It has just enough of a registry's paths for the client that is used on the others. What it
// stores it finds again by path, in memory, for as long as the process lives.
package bare

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// copySize is large, because small copies cost system calls: with 32 KiB the yardstick is a sixth shorter.
const copySize = 1 << 20

// stored is content in a file.
type stored struct {
	file   string
	digest string
	kind   string
}

// Handler serves one folder.
type Handler struct {
	dir    string
	serial atomic.Int64

	mu      sync.Mutex // guards content
	content map[string]stored
}

// New makes a handler that puts its files into dir.
func New(dir string) *Handler {
	return &Handler{dir: dir, content: map[string]stored{}}
}

// Serve serves dir on addr, host and port, until it fails.
func Serve(addr, dir string) error {
	return http.ListenAndServe(addr, New(dir))
}

// ServeHTTP answers POST with an upload, takes the bytes of PATCH and PUT, and serves what a finished PUT has named.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var err error
	switch r.Method {
	case "GET", "HEAD":
		err = h.serve(w, r)
	case "POST":
		w.Header().Set("Location", r.URL.Path+strconv.FormatInt(h.serial.Add(1), 10))
		w.WriteHeader(http.StatusAccepted)
	case "PATCH":
		if err = h.receive(r, r.URL.Path); err == nil {
			w.Header().Set("Location", r.URL.Path)
			w.WriteHeader(http.StatusAccepted)
		}
	case "PUT":
		if err = h.put(r); err == nil {
			w.WriteHeader(http.StatusCreated)
		}
	default:
		err = errors.New("no such method")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request) error {
	if r.URL.Path == "/v2/" {
		return nil
	}
	h.mu.Lock()
	found, ok := h.content[r.URL.Path]
	h.mu.Unlock()
	if !ok {
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusNotFound)
		return nil
	}
	file, err := os.Open(found.file)
	if err != nil {
		return err
	}
	defer file.Close()
	w.Header().Set("Content-Type", found.kind)
	http.ServeContent(w, r, "", time.Time{}, file)
	return nil
}

// put takes a manifest or the last bytes of a blob. A PUT that closes a PATCH has none.
func (h *Handler) put(r *http.Request) error {
	path := r.URL.Path
	if r.ContentLength != 0 {
		if err := h.receive(r, path); err != nil {
			return err
		}
	}
	repository, _, isBlob := strings.Cut(path, "/blobs/uploads/")
	if !isBlob {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	got := h.content[path]
	if want := r.URL.Query().Get("digest"); got.digest != want {
		return fmt.Errorf("the digest is %q, not %q", got.digest, want)
	}
	delete(h.content, path)
	h.content[repository+"/blobs/"+got.digest] = got
	return nil
}

// receive reads the body, hashes it, writes it to a new file and syncs that, and keeps it under path.
func (h *Handler) receive(r *http.Request, path string) error {
	name := filepath.Join(h.dir, strconv.FormatInt(h.serial.Add(1), 10))
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	sum := sha256.New()
	buffer := make([]byte, copySize)
	if _, err := io.CopyBuffer(both{file, sum}, onlyReader{r.Body}, buffer); err != nil {
		return err
	}
	if err := syscall.Fdatasync(int(file.Fd())); err != nil {
		return err
	}
	digest := "sha256:" + hex.EncodeToString(sum.Sum(nil))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.content[path] = stored{file: name, digest: digest, kind: r.Header.Get("Content-Type")}
	return nil
}

// both writes to a file and to a hash, which cannot fail.
type both struct {
	file *os.File
	hash io.Writer
}

func (b both) Write(p []byte) (int, error) {
	b.hash.Write(p)
	return b.file.Write(p)
}

// onlyReader hides every other method of a body, so that the copy uses its buffer.
type onlyReader struct{ io.Reader }
