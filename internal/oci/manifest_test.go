// SPDX-License-Identifier: Apache-2.0

package oci_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"tare/internal/oci"
)

const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// sha returns a digest that differs for each n.
func sha(n int) oci.Digest { return oci.Digest(fmt.Sprintf("sha256:%064x", n)) }

// desc writes a descriptor with a digest that differs for each n.
func desc(n int) string {
	return fmt.Sprintf(`{"mediaType":"application/vnd.example","digest":"%s","size":%d}`, sha(n), n)
}

func TestParseManifest(t *testing.T) {
	at := func(n int) oci.Descriptor {
		return oci.Descriptor{MediaType: "application/vnd.example", Digest: sha(n), Size: int64(n)}
	}
	one, two := at(1), at(2)
	for name, c := range map[string]struct {
		body, mediaType string
		want            oci.Manifest
	}{
		"image": {
			body:      `{"schemaVersion":2,"mediaType":"` + oci.MediaTypeManifest + `","config":` + desc(1) + `,"layers":[` + desc(2) + `, ` + desc(3) + `]}`,
			mediaType: oci.MediaTypeManifest,
			want:      oci.Manifest{MediaType: oci.MediaTypeManifest, ArtifactType: "application/vnd.example", Config: &one, Layers: []oci.Descriptor{at(2), at(3)}},
		},
		"artifact with subject": {
			body:      `{"artifactType":"a/b","config":` + desc(1) + `,"layers":[],"subject":` + desc(2) + `,"annotations":{"k":"v","\u006b2":"\u00e9"}}`,
			mediaType: oci.MediaTypeManifest,
			want: oci.Manifest{MediaType: oci.MediaTypeManifest, ArtifactType: "a/b", Config: &one, Subject: &two,
				Annotations: map[string]string{"k": "v", "k2": "é"}},
		},
		"index":                         {body: `{"manifests":[` + desc(1) + `]}`, mediaType: dockerList, want: oci.Manifest{MediaType: dockerList, Manifests: []oci.Descriptor{one}}},
		"index by shape":                {body: `{"manifests":[]}`, want: oci.Manifest{MediaType: oci.MediaTypeIndex}},
		"image by shape":                {body: `{"layers":[]}`, want: oci.Manifest{MediaType: oci.MediaTypeManifest}},
		"nothing by shape":              {body: `{}`, want: oci.Manifest{MediaType: oci.MediaTypeManifest}},
		"media type from the body":      {body: `{"mediaType":"` + dockerManifest + `"}`, want: oci.Manifest{MediaType: dockerManifest}},
		"media type from Content-Type":  {body: `{}`, mediaType: "application/vnd.cncf.x+json", want: oci.Manifest{MediaType: "application/vnd.cncf.x+json"}},
		"unknown type, all descriptors": {body: `{"blobs":[` + desc(1) + `],"layers":[` + desc(2) + `]}`, mediaType: "x/y", want: oci.Manifest{MediaType: "x/y", Blobs: []oci.Descriptor{one}, Layers: []oci.Descriptor{two}}},
		"nulls are absent":              {body: `{"schemaVersion":null,"mediaType":null,"config":null,"layers":null,"manifests":null,"subject":null,"annotations":null}`, want: oci.Manifest{MediaType: oci.MediaTypeManifest}},
		"unknown fields":                {body: `{"org.x":[{"digest":1},{"a":{}}],"org.x":"}]\"{","org.y":-1.5e9, "layers" : [ ] }`, want: oci.Manifest{MediaType: oci.MediaTypeManifest}},
		"unknown fields in descriptors": {
			body: `{"config":{"digest":"` + string(sha(1)) + `","size":1,"mediaType":"application/vnd.example","platform":{"os":"linux"},"data":"e30=","urls":["u"],"annotations":{"a":"b"}}}`,
			want: oci.Manifest{MediaType: oci.MediaTypeManifest, ArtifactType: "application/vnd.example", Config: &one},
		},
		"escaped names": {body: `{"\u0063onfig":` + desc(1) + `}`, want: oci.Manifest{MediaType: oci.MediaTypeManifest, ArtifactType: "application/vnd.example", Config: &one}},
		"white space":   {body: " \n{\t\"layers\"\r:\n[ " + desc(1) + " \n,\t" + desc(2) + "]\n}\n ", want: oci.Manifest{MediaType: oci.MediaTypeManifest, Layers: []oci.Descriptor{one, two}}},
		"sha512":        {body: `{"layers":[{"digest":"sha512:` + strings.Repeat("a", 128) + `","size":0}]}`, want: oci.Manifest{MediaType: oci.MediaTypeManifest, Layers: []oci.Descriptor{{Digest: oci.Digest("sha512:" + strings.Repeat("a", 128))}}}},
		"deepest":       {body: `{"x":` + strings.Repeat("[", oci.MaxDepth-1) + strings.Repeat("]", oci.MaxDepth-1) + `}`, want: oci.Manifest{MediaType: oci.MediaTypeManifest}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := oci.ParseManifest([]byte(c.body), c.mediaType)
			if err != nil {
				t.Fatal(err)
			}
			if got.Annotations != nil && len(got.Annotations) == 0 {
				got.Annotations = nil
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestParseManifestRefuses(t *testing.T) {
	deep := oci.MaxDepth
	for name, c := range map[string]struct{ body, mediaType, says string }{
		"nothing":                     {"", "", "not JSON"},
		"no JSON":                     {"{", "", "not JSON"},
		"trailing data":               {`{}{}`, "", "not JSON"},
		"trailing text":               {`{} x`, "", "not JSON"},
		"byte order mark":             {"\ufeff{}", "", "not JSON"},
		"no UTF-8":                    {"{\"x\":\"\xff\"}", "", "not UTF-8"},
		"array":                       {`[]`, "", "an array, not an object"},
		"number":                      {`5`, "", "a number, not an object"},
		"too deep":                    {`{"x":` + strings.Repeat("[", deep) + strings.Repeat("]", deep) + `}`, "", "33 levels"},
		"far too deep":                {`{"x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, "", "not JSON"},
		"schema 1":                    {`{"schemaVersion":1}`, "", "schema 1"},
		"schema 1 by its layers":      {`{"fsLayers":[]}`, "", "schema 1"},
		"schema 1 by its type":        {`{}`, "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1"},
		"schema 3":                    {`{"schemaVersion":3}`, "", "schemaVersion is 3"},
		"schema version as text":      {`{"schemaVersion":"2"}`, "", `schemaVersion is "2"`},
		"other media type":            {`{"mediaType":"a/b"}`, "a/c", `"a/c", but the manifest's mediaType is "a/b"`},
		"media type no text":          {`{"mediaType":2}`, "", "mediaType: this is a number, not a string"},
		"media type no type":          {`{"mediaType":"json"}`, "", "no media type"},
		"media type splits a header":  {`{"mediaType":"a/b\r\nX: y"}`, "", "no media type"},
		"media type too long":         {`{"mediaType":"a/` + strings.Repeat("b", oci.MaxMediaType) + `"}`, "", "257 bytes"},
		"sent media type too long":    {`{}`, "a/" + strings.Repeat("b", oci.MaxMediaType), "no media type"},
		"artifact type too long":      {`{"artifactType":"a/` + strings.Repeat("b", oci.MaxMediaType) + `"}`, "", "artifactType has 257 bytes"},
		"image and index":             {`{"layers":[],"manifests":[]}`, "", "as an index does"},
		"config and index":            {`{"config":` + desc(1) + `,"manifests":[]}`, "x/y", "as an index does"},
		"blobs and index":             {`{"blobs":[],"manifests":[]}`, "x/y", "as an index does"},
		"image sent as an index":      {`{"layers":[]}`, oci.MediaTypeIndex, "an index has no"},
		"image that says list":        {`{"mediaType":"` + dockerList + `","config":` + desc(1) + `}`, "", "an index has no"},
		"index sent as an image":      {`{"manifests":[]}`, oci.MediaTypeManifest, "an image has no"},
		"index that says schema 2":    {`{"mediaType":"` + dockerManifest + `","manifests":[]}`, "", "an image has no"},
		"a field twice":               {`{"layers":[],"layers":[]}`, "", `"layers" comes twice`},
		"a field twice, null":         {`{"layers":[],"layers":null}`, "", `"layers" comes twice`},
		"a field twice, null first":   {`{"layers":null,"layers":[]}`, "", `"layers" comes twice`},
		"a field twice, escaped":      {`{"layers":[],"\u006cayers":[]}`, "", `"layers" comes twice`},
		"a field in other case":       {`{"Layers":[]}`, "", `did you mean "layers"`},
		"a field in folded case":      {`{"layer\u017f":[]}`, "", `did you mean "layers"`},
		"layers no array":             {`{"layers":{}}`, "", "layers: this is an object, not an array"},
		"layer no object":             {`{"layers":[` + desc(1) + `,null]}`, "", "layers: 1: this is null, not an object"},
		"config no object":            {`{"config":[]}`, "", "config: this is an array"},
		"subject no object":           {`{"subject":true}`, "", "subject: this is a boolean"},
		"no digest":                   {`{"config":{"size":1}}`, "", "config: digest: there is none"},
		"digest no text":              {`{"config":{"digest":1,"size":1}}`, "", "config: digest: this is a number"},
		"digest unknown":              {`{"layers":[{"digest":"md5:00","size":1}]}`, "", `layers: 0: digest: "md5:00"`},
		"digest short":                {`{"layers":[{"digest":"sha256:00","size":1}]}`, "", `"sha256:00": 2 digits, not 64`},
		"digest upper case":           {`{"subject":{"digest":"sha256:` + strings.Repeat("A", 64) + `","size":1}}`, "", "hexadecimal"},
		"no size":                     {`{"config":{"digest":"` + string(sha(1)) + `"}}`, "", `size ""`},
		"negative size":               {`{"config":{"digest":"` + string(sha(1)) + `","size":-1}}`, "", `size "-1"`},
		"fraction of a size":          {`{"config":{"digest":"` + string(sha(1)) + `","size":1.0}}`, "", `size "1.0"`},
		"size no number":              {`{"config":{"digest":"` + string(sha(1)) + `","size":"1"}}`, "", `size`},
		"size beyond 63 bits":         {`{"config":{"digest":"` + string(sha(1)) + `","size":9223372036854775808}}`, "", `size`},
		"digest twice":                {`{"config":{"digest":"` + string(sha(1)) + `","digest":"` + string(sha(2)) + `","size":1}}`, "", `config: "digest" comes twice`},
		"digest in other case":        {`{"config":{"digest":"` + string(sha(1)) + `","Digest":"` + string(sha(2)) + `","size":1}}`, "", `did you mean "digest"`},
		"media type of a layer":       {`{"layers":[{"mediaType":[],"digest":"` + string(sha(1)) + `","size":1}]}`, "", "layers: 0: mediaType: this is an array"},
		"long media type of a layer":  {`{"layers":[{"mediaType":"` + strings.Repeat("b", 256) + `","digest":"` + string(sha(1)) + `","size":1}]}`, "", "mediaType has 256 bytes"},
		"URLs no array":               {`{"layers":[{"urls":"u","digest":"` + string(sha(1)) + `","size":1}]}`, "", "urls: this is a string"},
		"URL no text":                 {`{"layers":[{"urls":[1],"digest":"` + string(sha(1)) + `","size":1}]}`, "", "urls: this is a number"},
		"annotations no object":       {`{"annotations":[]}`, "", "annotations: this is an array"},
		"annotation no text":          {`{"annotations":{"k":1}}`, "", "annotations: k: this is a number"},
		"annotation twice":            {`{"annotations":{"k":"a","k":"b"}}`, "", `annotations: "k" comes twice`},
		"annotation of a layer":       {`{"layers":[{"annotations":{"a":null},"digest":"` + string(sha(1)) + `","size":1}]}`, "", "annotations: this is null"},
		"artifact type of descriptor": {`{"manifests":[{"artifactType":1,"digest":"` + string(sha(1)) + `","size":1}]}`, "", "artifactType: this is a number"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := oci.ParseManifest([]byte(c.body), c.mediaType)
			if oci.CodeOf(err) != oci.ManifestInvalid || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want MANIFEST_INVALID and %q", err, c.says)
			}
		})
	}
}

func TestManifestLimits(t *testing.T) {
	layers := func(n int, digest func(int) string) string {
		var b strings.Builder
		b.WriteString(`{"layers":[`)
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"digest":"%s","size":1}`, digest(i))
		}
		b.WriteString(`]`)
		return b.String()
	}
	sha256 := func(i int) string { return string(sha(i)) }
	sha512 := func(i int) string { return fmt.Sprintf("sha512:%0128x", i) }
	subject := `"subject":` + desc(1) + `,`
	annotations := func(n int, s string) string { return `"annotations":{"k":"` + strings.Repeat(s, n) + `"}}` }
	const room = oci.MaxAnnotations - len(`{"k":""}`)
	for name, c := range map[string]struct{ body, says string }{
		"4 MiB":                      {`{"x":"` + strings.Repeat("x", oci.MaxManifest-8) + `"}`, ""},
		"4 MiB and a byte":           {`{"x":"` + strings.Repeat("x", oci.MaxManifest-7) + `"}`, "4194305 bytes, more than 4194304"},
		"10,000 references":          {layers(oci.MaxReferences, sha256) + `}`, ""},
		"10,001 references":          {layers(oci.MaxReferences, sha256) + `,"config":` + desc(oci.MaxReferences) + `}`, "10001 distinct digests, more than 10000"},
		"10,001, one twice":          {layers(oci.MaxReferences, sha256) + `,"config":` + desc(0) + `}`, ""},
		"5,000 of sha512":            {layers(oci.MaxReferences/2, sha512) + `}`, ""},
		"5,001 of sha512":            {layers(oci.MaxReferences/2+1, sha512) + `}`, "5001 distinct digests"},
		"subject is none":            {layers(oci.MaxReferences, sha256) + `,"subject":` + desc(oci.MaxReferences) + `}`, ""},
		"annotations":                {`{` + subject + annotations(room, "x"), ""},
		"one byte more":              {`{` + subject + annotations(room+1, "x"), "262145 bytes, more than 262144"},
		"larger when they are kept":  {`{` + subject + annotations(room/6+1, "<"), "262148 bytes, more than 262144"},
		"annotations, no subject":    {`{` + annotations(2*room, "x"), ""},
		"annotations before subject": {`{` + strings.TrimSuffix(annotations(room+1, "x"), "}") + `,"subject":` + desc(1) + `}`, "262145 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := oci.ParseManifest([]byte(c.body), "")
			switch {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (oci.CodeOf(err) != oci.TooLarge || !strings.Contains(err.Error(), c.says)):
				t.Errorf("got %v, want TOO_LARGE and %q", err, c.says)
			}
		})
	}
}

// The worst bodies of 4 MiB must not take more than a small multiple of that.
func TestParseManifestMemory(t *testing.T) {
	fill := func(head, unit, tail string) string {
		n := (oci.MaxManifest - len(head) - len(tail)) / len(unit)
		return head + strings.Repeat(unit, n) + tail
	}
	var names strings.Builder
	for i := 0; names.Len() < oci.MaxManifest-100; i++ {
		fmt.Fprintf(&names, `"%x":"",`, i)
	}
	d := `{"digest":"` + string(sha(1)) + `","size":1`
	for name, body := range map[string]string{
		"descriptors":        fill(`{"layers":[`+d+`}`, `,`+d+`}`, `]}`),
		"empty elements":     fill(`{"x":[[]`, `,[]`, `]}`),
		"members":            fill(`{"x":0`, `,"x":0`, `}`),
		"URLs":               fill(`{"config":`+d+`,"urls":[""`, `,""`, `]}}`),
		"annotations":        `{"annotations":{` + strings.TrimSuffix(names.String(), ",") + `}}`,
		"inner annotations":  `{"config":` + d + `,"annotations":{` + strings.TrimSuffix(names.String(), ",") + `}}}`,
		"with a subject":     `{"subject":` + desc(1) + `,"annotations":{` + names.String()[:200<<10] + `":""}}`,
		"escaped":            fill(`{"mediaType":"`, `\u0061`, `"}`),
		"brackets and quote": fill(`{"x":"`, `[{`, `"}`),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			b := []byte(body)
			runtime.ReadMemStats(&before)
			_, err := oci.ParseManifest(b, "")
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 8*oci.MaxManifest {
				t.Errorf("%d bytes allocated (%v)", n, err)
			}
		})
	}
}

func TestReferrer(t *testing.T) {
	for name, c := range map[string]struct{ body, artifactType string }{
		"artifactType":     {`{"artifactType":"a/b","config":` + desc(1) + `,"subject":` + desc(2) + `,"annotations":{"k":"v"}}`, "a/b"},
		"config.mediaType": {`{"config":` + desc(1) + `,"subject":` + desc(2) + `,"annotations":{"k":"v"}}`, "application/vnd.example"},
		"empty":            {`{"artifactType":"","config":` + desc(1) + `,"subject":` + desc(2) + `,"annotations":{"k":"v"}}`, "application/vnd.example"},
		"index without":    {`{"manifests":[],"subject":` + desc(2) + `,"annotations":{"k":"v"}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := oci.ParseManifest([]byte(c.body), "")
			if err != nil {
				t.Fatal(err)
			}
			got := m.Referrer(sha(9), 99)
			want := oci.Descriptor{MediaType: m.MediaType, Digest: sha(9), Size: 99, ArtifactType: c.artifactType, Annotations: map[string]string{"k": "v"}}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestNonDistributable(t *testing.T) {
	for mediaType, want := range map[string]bool{
		"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": true,
		"application/vnd.oci.image.layer.nondistributable.v1.tar":      true,
		"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip":    true,
		"application/vnd.oci.image.layer.v1.tar+gzip":                  false,
		"": false,
	} {
		d := oci.Descriptor{MediaType: mediaType, URLs: []string{"https://example.com/"}}
		if got := d.NonDistributable(); got != want {
			t.Errorf("%q: %v", mediaType, got)
		}
	}
}

// FuzzParseManifest compares with encoding/json: what is accepted decodes there to the same thing.
func FuzzParseManifest(f *testing.F) {
	f.Add(`{"schemaVersion":2,"config":`+desc(1)+`,"layers":[`+desc(2)+`],"subject":`+desc(3)+`,"annotations":{"a":"b"}}`, "")
	f.Add(`{"manifests":[`+desc(1)+`],"artifactType":"a/b"}`, oci.MediaTypeIndex)
	f.Add(`{"Layers":[],"layers":[{"size":-1}]}`, "x/y")
	f.Fuzz(func(t *testing.T, body, mediaType string) {
		m, err := oci.ParseManifest([]byte(body), mediaType)
		if err != nil {
			var e *oci.Error
			if !errors.As(err, &e) || e.Code != oci.ManifestInvalid && e.Code != oci.TooLarge {
				t.Fatalf("%v", err)
			}
			return
		}
		var ref struct {
			MediaType, ArtifactType  string
			Config, Subject          *oci.Descriptor
			Layers, Blobs, Manifests []oci.Descriptor
			Annotations              map[string]string
			SchemaVersion            any
		}
		if err := json.Unmarshal([]byte(body), &ref); err != nil {
			t.Fatalf("accepted, but encoding/json says %v", err)
		}
		bare := func(list []oci.Descriptor) []oci.Descriptor {
			var out []oci.Descriptor
			for _, d := range list {
				d.URLs, d.Annotations = nil, nil
				out = append(out, d)
			}
			return out
		}
		one := func(d *oci.Descriptor) []oci.Descriptor {
			if d == nil {
				return nil
			}
			return bare([]oci.Descriptor{*d})
		}
		if !reflect.DeepEqual(bare(m.Layers), bare(ref.Layers)) || !reflect.DeepEqual(bare(m.Blobs), bare(ref.Blobs)) ||
			!reflect.DeepEqual(bare(m.Manifests), bare(ref.Manifests)) || !reflect.DeepEqual(one(m.Config), one(ref.Config)) ||
			!reflect.DeepEqual(one(m.Subject), one(ref.Subject)) {
			t.Fatalf("got %+v, encoding/json %+v", m, ref)
		}
		if len(m.Annotations) > 0 && !reflect.DeepEqual(m.Annotations, ref.Annotations) {
			t.Fatalf("annotations %v, encoding/json %v", m.Annotations, ref.Annotations)
		}
		if ref.MediaType != "" && ref.MediaType != m.MediaType || mediaType != "" && mediaType != m.MediaType || m.MediaType == "" {
			t.Fatalf("media type %q, sent %q, in the body %q", m.MediaType, mediaType, ref.MediaType)
		}
	})
}

func BenchmarkParseManifest(b *testing.B) {
	body := []byte(`{"schemaVersion":2,"mediaType":"` + oci.MediaTypeManifest + `","config":` + desc(1) + `,"layers":[` + desc(2) + `,` + desc(3) + `,` + desc(4) + `]}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := oci.ParseManifest(body, oci.MediaTypeManifest); err != nil {
			b.Fatal(err)
		}
	}
}
