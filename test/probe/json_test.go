// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"tare/internal/oci"
)

// fillTo repeats unit(0), unit(1), … between head and tail, up to n bytes.
func fillTo(n int, head, tail string, unit func(int) string) string {
	var b strings.Builder
	b.WriteString(head)
	for i := 0; ; i++ {
		u := unit(i)
		if b.Len()+len(u)+len(tail) > n {
			break
		}
		if i > 0 && tail != "" {
			b.WriteByte(',')
		}
		b.WriteString(u)
	}
	b.WriteString(tail)
	return b.String()
}

func same(s string) func(int) string { return func(int) string { return s } }

// hostile are documents of n bytes that are to make a parser take memory or time.
func hostile(n int) map[string]string {
	n -= n / 16 // room for the commas
	desc := func(i int) string { return fmt.Sprintf(`{"digest":"sha256:%064x","size":1}`, i) }
	return map[string]string{
		"arrays":                           strings.Repeat("[", n),
		"objects":                          strings.Repeat(`{"a":`, n/5),
		"objects in a field":               `{"layers":` + strings.Repeat(`[{"a":`, n/6),
		"closed arrays":                    strings.Repeat("[", n/2) + strings.Repeat("]", n/2),
		"empty arrays":                     fillTo(n, `{"layers":[`, `]}`, same("[]")),
		"empty objects":                    fillTo(n, `{"manifests":[`, `]}`, same("{}")),
		"empty arrays nobody reads":        fillTo(n, `{"x":[`, `]}`, same("[]")),
		"keys":                             fillTo(n, `{`, `}`, func(i int) string { return fmt.Sprintf(`"%d":0`, i) }),
		"escaped keys":                     fillTo(n, `{`, `}`, func(i int) string { return fmt.Sprintf(`"\u0061%d":0`, i) }),
		"one key again and again":          fillTo(n, `{`, `}`, same(`"x":0`)),
		"a field twice":                    fillTo(n, `{`, `}`, same(`"config":{}`)),
		"a field in another case":          fillTo(n, `{`, `}`, same(`"Config":{}`)),
		"keys of a descriptor":             fillTo(n, `{"config":{`, `}}`, func(i int) string { return fmt.Sprintf(`"\u0061%d":0`, i) }),
		"a long string":                    `{"x":"` + strings.Repeat("x", n) + `"}`,
		"a long media type":                `{"mediaType":"` + strings.Repeat("x", n) + `"}`,
		"a long escaped media type":        `{"mediaType":"` + strings.Repeat(`\u0061`, n/6) + `"}`,
		"a long digest":                    `{"config":{"digest":"sha256:` + strings.Repeat("0", n) + `","size":1}}`,
		"a long key":                       `{"` + strings.Repeat("x", n) + `":0}`,
		"a long escaped key":               `{"` + strings.Repeat(`\u0061`, n/6) + `":0}`,
		"halves of surrogates":             `{"` + strings.Repeat(`\ud800`, n/6) + `":0}`,
		"a string without an end":          `{"x":"` + strings.Repeat("x", n),
		"a long number":                    `{"schemaVersion":` + strings.Repeat("9", n) + `}`,
		"a long fraction":                  `{"schemaVersion":2.` + strings.Repeat("0", n) + `}`,
		"a large exponent":                 `{"schemaVersion":1e` + strings.Repeat("9", n) + `}`,
		"a long size":                      `{"config":{"digest":"` + digestOf("") + `","size":` + strings.Repeat("9", n) + `}}`,
		"numbers":                          fillTo(n, `{"x":[`, `]}`, same("1e9999")),
		"invalid UTF-8":                    `{"x":"` + strings.Repeat("\xff", n) + `"}`,
		"zero bytes":                       strings.Repeat("\x00", n),
		"white space":                      `{` + strings.Repeat(" \t\r\n", n/4) + `}`,
		"nulls":                            fillTo(n, `{"layers":[`, `]}`, same("null")),
		"layers of one digest":             fillTo(n, `{"layers":[`, `]}`, same(desc(0))),
		"layers":                           fillTo(n, `{"layers":[`, `]}`, desc),
		"layers and a config that is none": fillTo(n, `{"layers":[`, `],"config":0}`, desc),
		"children":                         fillTo(n, `{"manifests":[`, `]}`, desc),
		"blobs":                            fillTo(n, `{"blobs":[`, `]}`, desc),
		"URLs":                             fillTo(n, `{"config":{"digest":"`+digestOf("")+`","size":1,"urls":[`, `]}}`, same(`"\u0061"`)),
		"annotations of a descriptor":      fillTo(n, `{"config":{"digest":"`+digestOf("")+`","size":1,"annotations":{`, `}}}`, func(i int) string { return fmt.Sprintf(`"\u0061%d":"\n"`, i) }),
		"annotations":                      fillTo(n, `{"annotations":{`, `}}`, func(i int) string { return fmt.Sprintf(`"%d":""`, i) }),
		"escaped annotations":              fillTo(n, `{"annotations":{`, `}}`, func(i int) string { return fmt.Sprintf(`"\u0061%d":"\n"`, i) }),
		"annotations of a referrer":        fillTo(n, `{"subject":`+desc(0)+`,"annotations":{`, `}}`, func(i int) string { return fmt.Sprintf(`"%d":"\u0000"`, i) }),
		"one annotation":                   `{"annotations":{"x":"` + strings.Repeat(`\n`, n/2) + `"}}`,
		"one annotation of a referrer":     `{"subject":` + desc(0) + `,"annotations":{"x":"` + strings.Repeat(`\u0000`, n/6) + `"}}`,
	}
}

// allocated is how many bytes do allocates, in all, freed or not: what it holds at any moment is less.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// What a document makes the parser and the registry allocate is a multiple of its size that does not depend on what is in
// it, and so is what they hold of it; the answer is short.
func TestHostileJSON(t *testing.T) {
	// Maps of annotations grow by the luck of their hashes: at most 33 times the document in 60 runs, and 29 in others.
	const parser, whole, slack = 48, 96, 1 << 19
	w := newWorld(t, false)
	for name, document := range hostile(1 << 18) {
		body := []byte(document)
		size := uint64(len(body))
		if n := allocated(func() { _, _ = oci.ParseManifest(body, "") }); n > parser*size+slack {
			t.Errorf("%s: %d bytes make the parser allocate %d", name, size, n)
		}
		var rec *httptest.ResponseRecorder
		if n := allocated(func() { rec = w.do(writer, ask{"PUT", "/v2/" + mine + "/manifests/x", document, nil}) }); n > whole*size+slack {
			t.Errorf("%s: %d bytes make the registry allocate %d", name, size, n)
		}
		switch rec.Code {
		case http.StatusCreated, http.StatusBadRequest, http.StatusNotFound, http.StatusRequestEntityTooLarge:
		default:
			t.Errorf("%s: %d", name, rec.Code)
		}
		if answer := rec.Body.Bytes(); len(answer) > 1000 || rec.Code != http.StatusCreated && !json.Valid(answer) {
			t.Errorf("%s: %d, %d bytes: %.100q", name, rec.Code, len(answer), answer)
		}
	}
	w.audit()
}

// Who may not push has no document parsed, and not held either.
func TestHostileJSONOfStrangers(t *testing.T) {
	w := newWorld(t, false)
	document := strings.Repeat("[", 1<<20)
	for _, user := range []string{reader, nobody, stranger} {
		if n := allocated(func() { w.do(user, ask{"PUT", "/v2/" + mine + "/manifests/x", document, nil}) }); n > 1<<19 {
			t.Errorf("%s makes the registry allocate %d bytes", user, n)
		}
	}
}
