// SPDX-License-Identifier: Apache-2.0

package memstore

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tare/internal/store"
)

// refusal is what a signed request is answered when it is not done, named as S3 does.
type refusal struct {
	status int
	code   string
}

var (
	refusedSignature = &refusal{http.StatusForbidden, "SignatureDoesNotMatch"}
	refusedExpired   = &refusal{http.StatusForbidden, "AccessDenied"}
	refusedChecksum  = &refusal{http.StatusBadRequest, "BadDigest"}
	refusedShort     = &refusal{http.StatusBadRequest, "IncompleteBody"}
	refusedKey       = &refusal{http.StatusConflict, "InvalidRequest"}
	noSuchKey        = &refusal{http.StatusNotFound, "NoSuchKey"}
	noSuchUpload     = &refusal{http.StatusNotFound, "NoSuchUpload"}
)

// Handler serves the requests that a [Direct] of this store signed, as S3 would: with the method, key, query, length and
// checksum that were signed and no others, until they end, as often as they come. A body that is not what was signed
// changes nothing.
func (s *Store) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refused := s.serve(w, r); refused != nil {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(refused.status)
			// Whether the client hears of it is the client's affair.
			_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code></Error>", refused.code)
		}
	})
}

func (s *Store) serve(w http.ResponseWriter, r *http.Request) *refusal {
	key, query := strings.TrimPrefix(r.URL.EscapedPath(), "/"), r.URL.Query()
	var b body
	if r.Method == http.MethodPut {
		b = body{strconv.FormatInt(r.ContentLength, 10), r.Header.Get(checksumHeader)}
	}
	given := query.Get(signatureField)
	query.Del(signatureField)
	if !hmac.Equal([]byte(given), []byte(signature(r.Method, key, query, b))) {
		return refusedSignature
	}
	ends, err := strconv.ParseInt(query.Get(endsField), 10, 64)
	if err != nil || s.clock.Now().After(time.Unix(ends, 0)) {
		return refusedExpired
	}
	if r.Method == http.MethodPut {
		return s.receive(w, r, key, query)
	}
	o, err := s.lookup("open", key)
	if err != nil {
		return noSuchKey
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(o.data))
	return nil
}

// receive takes the body of an object or of a part.
func (s *Store) receive(w http.ResponseWriter, r *http.Request, key string, query url.Values) *refusal {
	data, err := readExactly(r.Context(), r.Body, r.ContentLength)
	if err != nil {
		return refusedShort
	}
	sum := sha256.Sum256(data)
	if base64.StdEncoding.EncodeToString(sum[:]) != r.Header.Get(checksumHeader) {
		return refusedChecksum
	}
	mark := hex.EncodeToString(sum[:])
	if !query.Has(uploadField) {
		s.bytesMu.Lock()
		err = s.putObject("put", object{key: key, data: data})
		s.bytesMu.Unlock()
	} else {
		var number int
		if number, err = strconv.Atoi(query.Get(numberField)); err == nil {
			err = s.setPart(key, query.Get(uploadField), number, uploadedPart{data, mark})
		}
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return noSuchUpload
	case err != nil:
		return refusedKey
	}
	w.Header().Set("ETag", strconv.Quote(mark))
	w.Header().Set(checksumHeader, r.Header.Get(checksumHeader))
	return nil
}
