// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"tare/internal/store"
)

// An archive is a tar stream with these entries, in this order:
//
//	tare-backup.json     {"format":1,"version":"0.1.0","created":"2026-11-21T12:00:00Z"}
//	rows/00000001.jsonl  rows, one JSON object a line, in entries of about 4 MiB
//	rows/00000002.jsonl  …
//	objects/o4xyz        the objects that the rows name, each under its key
//	complete.json        {"rows":12,"objects":3,"bytes":4096,"sha256":"…"}
//
// A row is {"pk":"n","sk":"app","row":{"created":{"n":1},"v":{"s":"abc"},"body":{"b":"base64"}}}: a string, an integer
// or bytes under each name. The sum in the last entry is over the names, sizes and contents of all entries before it,
// so that a stream that was cut or altered on its way is found out. The rows say nothing of the engine that kept them.
const (
	archiveFormat   = 1
	archiveHead     = "tare-backup.json"
	archiveRows     = "rows/"
	archiveObjects  = "objects/"
	archiveComplete = "complete.json"

	// rowsEntry is the size from which an entry of rows is full; a row more may exceed it.
	rowsEntry = 4 << 20
	// maxRowsEntry is the largest that is read: the JSON of the last row is at most six times the row.
	maxRowsEntry = rowsEntry + 8*store.MaxRow
)

// archiveHeader begins an archive.
type archiveHeader struct {
	Format  int       `json:"format"`
	Version string    `json:"version"` // of the program that wrote it
	Created time.Time `json:"created"`
}

// archiveSummary ends one.
type archiveSummary struct {
	Rows    int64  `json:"rows"`
	Objects int64  `json:"objects"`
	Bytes   int64  `json:"bytes"` // of objects
	SHA256  string `json:"sha256"`
}

// archivedValue is a value: one of the fields is set.
type archivedValue struct {
	S *string `json:"s,omitempty"`
	N *int64  `json:"n,omitempty"`
	B *[]byte `json:"b,omitempty"`
}

type archivedRow struct {
	PK  string                   `json:"pk"`
	SK  string                   `json:"sk"`
	Row map[string]archivedValue `json:"row"`
}

// archiveWriter writes an archive: the rows first, then the objects, then close.
type archiveWriter struct {
	tar     *tar.Writer
	sum     hash.Hash
	created time.Time
	rows    bytes.Buffer // of the entry that is being filled
	entries int
	done    archiveSummary
}

func newArchiveWriter(w io.Writer, h archiveHeader) (*archiveWriter, error) {
	h.Format = archiveFormat
	a := &archiveWriter{tar: tar.NewWriter(w), sum: sha256.New(), created: h.Created}
	return a, a.json(archiveHead, h)
}

// entry writes one entry of exactly size bytes of r.
func (a *archiveWriter) entry(name string, size int64, r io.Reader) error {
	err := a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: a.created, Format: tar.FormatPAX})
	if err != nil {
		return err
	}
	sumEntry(a.sum, name, size)
	n, err := io.Copy(io.MultiWriter(a.tar, a.sum), io.LimitReader(r, size))
	if err != nil {
		return err
	}
	if n < size {
		return fmt.Errorf("%s: %w after %d of %d bytes", name, io.ErrUnexpectedEOF, n, size)
	}
	return nil
}

// sumEntry adds the head of an entry to the sum.
func sumEntry(sum hash.Hash, name string, size int64) {
	fmt.Fprintf(sum, "%s\x00%d\x00", name, size)
}

func (a *archiveWriter) json(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	b = append(b, '\n')
	return a.entry(name, int64(len(b)), bytes.NewReader(b))
}

// row adds a row.
func (a *archiveWriter) row(it store.Item) error {
	v := archivedRow{PK: it.Key.PK, SK: it.Key.SK, Row: make(map[string]archivedValue, len(it.Row))}
	for _, attr := range it.Row {
		v.Row[attr.Name] = archiveValue(attr.Value)
	}
	if err := v.checkText(); err != nil {
		return err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	a.rows.Write(b)
	a.rows.WriteByte('\n')
	a.done.Rows++
	if a.rows.Len() < rowsEntry {
		return nil
	}
	return a.flush()
}

// checkText refuses what JSON cannot carry unaltered.
func (v archivedRow) checkText() error {
	ok := utf8.ValidString(v.PK) && utf8.ValidString(v.SK)
	for name, value := range v.Row {
		ok = ok && utf8.ValidString(name) && (value.S == nil || utf8.ValidString(*value.S))
	}
	if !ok {
		return fmt.Errorf("row %q %q holds text that is not UTF-8", v.PK, v.SK)
	}
	return nil
}

// flush writes the entry of rows that is being filled.
func (a *archiveWriter) flush() error {
	if a.rows.Len() == 0 {
		return nil
	}
	a.entries++
	name := fmt.Sprintf("%s%08d.jsonl", archiveRows, a.entries)
	err := a.entry(name, int64(a.rows.Len()), &a.rows)
	a.rows.Reset()
	return err
}

// object adds an object of exactly size bytes.
func (a *archiveWriter) object(key string, size int64, r io.Reader) error {
	if err := a.flush(); err != nil {
		return err
	}
	if err := a.entry(archiveObjects+key, size, r); err != nil {
		return err
	}
	a.done.Objects++
	a.done.Bytes += size
	return nil
}

// close completes the archive and says what is in it.
func (a *archiveWriter) close() (archiveSummary, error) {
	if err := a.flush(); err != nil {
		return a.done, err
	}
	a.done.SHA256 = hex.EncodeToString(a.sum.Sum(nil))
	if err := a.json(archiveComplete, a.done); err != nil {
		return a.done, err
	}
	return a.done, a.tar.Close()
}

func archiveValue(v store.Value) archivedValue {
	switch v.Kind() {
	case store.KindInt:
		n := v.Num()
		return archivedValue{N: &n}
	case store.KindBytes:
		b := []byte(v.Text())
		return archivedValue{B: &b}
	}
	s := v.Text()
	return archivedValue{S: &s}
}

// archiveSink takes what an archive holds.
type archiveSink struct {
	header func(archiveHeader) error
	row    func(store.Item) error
	object func(key string, size int64, r io.Reader) error // reads all of r
}

var (
	// errIncomplete is the error of an archive that ends early.
	errIncomplete = errors.New("the backup is not complete")
	errNotBackup  = errors.New("not a backup")
	errTrailing   = errors.New("the backup is damaged: something follows its end")
)

// maxPadding is the most that may follow the end of an archive: tar pads what it writes with zeros, to records of 10 KiB
// or what it was told.
const maxPadding = 1 << 20

// readArchive hands an archive to the sink, entry by entry. Only when it returns without an error was all of it there,
// unaltered.
func readArchive(r io.Reader, sink archiveSink) (archiveSummary, error) {
	in := bufio.NewReader(r)
	start, _ := in.Peek(len(archiveHead)) // what there is of it
	a := &archiveReader{tar: tar.NewReader(in), sum: sha256.New(), sink: sink}
	for {
		h, err := a.tar.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			if a.seen == 0 && !strings.HasPrefix(archiveHead, string(start)) {
				return a.done, errNotBackup
			}
			return a.done, errIncomplete
		}
		if err != nil {
			return a.done, fmt.Errorf("%w: %w", errNotBackup, err)
		}
		complete, err := a.entry(h)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errIncomplete
		}
		if err == nil && complete {
			err = a.end(in)
		}
		if err != nil || complete {
			return a.done, err
		}
	}
}

// end reads what follows the last entry, which is nothing but zeros, or nothing.
func (a *archiveReader) end(in io.Reader) error {
	switch _, err := a.tar.Next(); {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errIncomplete
	case err == nil, errors.Is(err, tar.ErrHeader):
		return errTrailing
	case !errors.Is(err, io.EOF):
		return err
	}
	padding, err := io.ReadAll(io.LimitReader(in, maxPadding+1))
	if err != nil {
		return err
	}
	if len(padding) > maxPadding || len(bytes.Trim(padding, "\x00")) > 0 {
		return errTrailing
	}
	return nil
}

type archiveReader struct {
	tar  *tar.Reader
	sum  hash.Hash
	sink archiveSink
	seen int // entries
	done archiveSummary
}

// entry handles one entry; complete says that it was the last.
func (a *archiveReader) entry(h *tar.Header) (complete bool, err error) {
	a.seen++
	if h.Typeflag != tar.TypeReg || (a.seen == 1) != (h.Name == archiveHead) {
		return false, fmt.Errorf("%w: it has an entry %q in place %d", errNotBackup, h.Name, a.seen)
	}
	if h.Name == archiveComplete {
		return true, a.complete()
	}
	sumEntry(a.sum, h.Name, h.Size)
	content := io.TeeReader(a.tar, a.sum)
	switch {
	case h.Name == archiveHead:
		return false, a.head(content)
	case strings.HasPrefix(h.Name, archiveRows) && a.done.Objects == 0:
		return false, a.rows(h, content)
	case strings.HasPrefix(h.Name, archiveObjects):
		return false, a.object(h, content)
	}
	return false, fmt.Errorf("%w: it has an entry %q", errNotBackup, h.Name)
}

func (a *archiveReader) head(r io.Reader) error {
	var head archiveHeader
	if err := decodeAll(r, &head); err != nil {
		return err
	}
	if head.Format != archiveFormat {
		return fmt.Errorf("the backup has format %d, this program reads format %d", head.Format, archiveFormat)
	}
	return a.sink.header(head)
}

func (a *archiveReader) rows(h *tar.Header, r io.Reader) error {
	if h.Size > maxRowsEntry {
		return fmt.Errorf("%s has %d bytes, more than %d", h.Name, h.Size, maxRowsEntry)
	}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		var v archivedRow
		if err := json.Unmarshal(line, &v); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		item, err := v.item()
		if err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		if err := a.sink.row(item); err != nil {
			return err
		}
		a.done.Rows++
	}
}

// item is the row as the table knows it.
func (v archivedRow) item() (store.Item, error) {
	attrs := make([]store.Attr, 0, len(v.Row))
	for name, value := range v.Row {
		attr := store.Attr{Name: name}
		switch {
		case value.S != nil && value.N == nil && value.B == nil:
			attr.Value = store.String(*value.S)
		case value.N != nil && value.S == nil && value.B == nil:
			attr.Value = store.Int(*value.N)
		case value.B != nil && value.S == nil && value.N == nil:
			attr.Value = store.Bytes(string(*value.B))
		default:
			return store.Item{}, fmt.Errorf("row %s %s: attribute %q is not one value", v.PK, v.SK, name)
		}
		attrs = append(attrs, attr)
	}
	return store.Item{Key: store.Key{PK: v.PK, SK: v.SK}, Row: store.NewRow(attrs...)}, nil
}

func (a *archiveReader) object(h *tar.Header, r io.Reader) error {
	key := strings.TrimPrefix(h.Name, archiveObjects)
	if !store.ValidObjectKey(key) {
		return fmt.Errorf("%q is no object key", key)
	}
	if err := a.sink.object(key, h.Size, r); err != nil {
		return err
	}
	a.done.Objects++
	a.done.Bytes += h.Size
	return nil
}

// complete compares the last entry with what was read.
func (a *archiveReader) complete() error {
	var want archiveSummary
	if err := decodeAll(a.tar, &want); err != nil {
		return err
	}
	a.done.SHA256 = hex.EncodeToString(a.sum.Sum(nil))
	if a.done != want {
		return fmt.Errorf("the backup is damaged: it holds %d rows and %d objects with sum %s, and should hold %d and %d with sum %s",
			a.done.Rows, a.done.Objects, a.done.SHA256, want.Rows, want.Objects, want.SHA256)
	}
	return nil
}

// decodeAll reads one small JSON document to its end.
func decodeAll(r io.Reader, v any) error {
	b, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %w", errNotBackup, err)
	}
	return nil
}
