// SPDX-License-Identifier: Apache-2.0

package s3store_test

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"tare/internal/store"
)

// composite is the checksum of the object that [parts] make.
const composite = "CjJcowPrMBTEOuAElw80NjTbF2+haXvMjJ76yUYmSI0="

// completed answers a Complete.
func completed(sum string) answer {
	if sum != "" {
		sum = "<ChecksumSHA256>" + sum + "</ChecksumSHA256>"
	}
	return status(200, `<CompleteMultipartUploadResult><ETag>"e-1"</ETag>`+sum+`</CompleteMultipartUploadResult>`)
}

// summed answers a HEAD with a checksum, of an object of one byte, as [parts] make.
func summed(sum string) answer { return sized(1, sum) }

func sized(size int, sum string) answer {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(size))
		w.Header().Set("X-Amz-Checksum-Sha256", sum)
		w.Header().Set("X-Amz-Checksum-Type", "COMPOSITE")
	}
}

// A Complete that is answered with success has made the object of the parts that it named, or says otherwise.
func TestCompleteBelievesTheChecksum(t *testing.T) {
	const other = "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=-1"
	wantCalls(t, "its own parts", []string{"complete"}, nil, 1, completed(composite+"-1"))
	wantCalls(t, "its own parts, found", []string{"complete"}, nil, 2, completed(""), summed(composite+"-1"))
	wantCalls(t, "another's parts", []string{"complete"}, store.ErrNotFound, 1, completed(other))
	wantCalls(t, "another's parts, found", []string{"complete"}, store.ErrNotFound, 2, completed(""), summed(other))
	wantCalls(t, "an object that is gone", []string{"complete"}, store.ErrNotFound, 2, completed(""), status(404, ""))
	wantCalls(t, "an object that nobody knows of", []string{"complete"}, store.ErrUnknownOutcome, 0, completed(""), status(403, ""))
	wantCalls(t, "an object without a checksum", []string{"complete"}, store.ErrNotFound, 2, completed(""), status(200, ""))
}

// A Complete of an upload that is not there has succeeded where the object has its parts: an attempt whose reply was lost has made
// it, or an earlier call. Of an object that is not that, and of none, it says that the upload is not there.
func TestCompleteOfAnUploadThatWasCompleted(t *testing.T) {
	const other = "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=-1"
	none := refuse(404, "NoSuchUpload")
	c := []string{"complete"}
	wantCalls(t, "an upload that a lost attempt completed", c, nil, 3, hangUp, none, summed(composite+"-1"))
	wantCalls(t, "an upload that an earlier call completed", c, nil, 2, none, summed(composite+"-1"))
	wantCalls(t, "wrong parts of a completed upload", c, nil, 3, refuse(400, "InvalidPart"), none, summed(composite+"-1"))
	wantCalls(t, "other parts", c, store.ErrNotFound, 2, none, summed(other))
	wantCalls(t, "another size", c, store.ErrNotFound, 2, none, sized(2, composite+"-1"))
	wantCalls(t, "an object without a checksum", c, store.ErrNotFound, 2, none, status(200, ""))
	wantCalls(t, "no object", c, store.ErrNotFound, 2, none, status(404, ""))
	wantCalls(t, "an object that nobody knows of", c, store.ErrUnknownOutcome, 2, none, status(403, ""))
}

func TestCompleteNamesEtagChecksumAndSize(t *testing.T) {
	s, _ := open(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		for _, want := range []string{"<PartNumber>1</PartNumber>", "<ETag>0123456789abcdef0123456789abcdef</ETag>",
			"<ChecksumSHA256>LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=</ChecksumSHA256>"} {
			if !strings.Contains(string(body), want) {
				t.Errorf("%s lacks %s", body, want)
			}
		}
		if r.Header.Get("X-Amz-Mp-Object-Size") != "1" || r.Header.Get("X-Amz-Checksum-Type") != "COMPOSITE" {
			t.Errorf("header %v", r.Header)
		}
		completed(composite+"-1")(w, r)
	})
	if err := s.Complete(t.Context(), "k", "id", parts); err != nil {
		t.Error(err)
	}
}

func TestPagesOfUploads(t *testing.T) {
	s, e := open(t,
		status(200, `<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>a</NextKeyMarker><NextUploadIdMarker>2</NextUploadIdMarker>
			<Upload><Key>a</Key><UploadId>1</UploadId></Upload><Upload><Key>Not/Ours/</Key><UploadId>9</UploadId></Upload></ListMultipartUploadsResult>`),
		func(w http.ResponseWriter, r *http.Request) {
			if q := r.URL.Query(); q.Get("key-marker") != "a" || q.Get("upload-id-marker") != "2" {
				t.Errorf("asked for %s", r.URL.RawQuery)
			}
			status(200, `<ListMultipartUploadsResult><Upload><Key>b</Key><UploadId>3</UploadId></Upload></ListMultipartUploadsResult>`)(w, r)
		})
	got, err := s.Pending(t.Context(), "")
	if err != nil || len(got) != 2 || got[0] != (store.PendingUpload{Key: "a", ID: "1"}) || got[1] != (store.PendingUpload{Key: "b", ID: "3"}) || e.count() != 2 {
		t.Errorf("got %v, error %v", got, err)
	}
	s, _ = open(t, status(200, `<ListMultipartUploadsResult><IsTruncated>true</IsTruncated></ListMultipartUploadsResult>`))
	if _, err := s.Pending(t.Context(), ""); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a page that leads nowhere: %v", err)
	}
}

// A page of S3 may be short and have more behind it, and the bucket may hold what is not ours.
func TestPagesOfObjects(t *testing.T) {
	s, e := open(t,
		status(200, `<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>
			<Contents><Key>a</Key><Size>1</Size></Contents><Contents><Key>Not/Ours/</Key><Size>1</Size></Contents></ListBucketResult>`),
		func(w http.ResponseWriter, r *http.Request) {
			if q := r.URL.Query(); q.Get("continuation-token") != "t" || q.Get("max-keys") != "2" {
				t.Errorf("asked for %s", r.URL.RawQuery)
			}
			status(200, `<ListBucketResult><Contents><Key>b</Key><Size>2</Size></Contents></ListBucketResult>`)(w, r)
		})
	got, err := s.List(t.Context(), "", "", 3)
	if err != nil || len(got) != 2 || got[0] != (store.ObjectInfo{Key: "a", Size: 1}) || got[1] != (store.ObjectInfo{Key: "b", Size: 2}) || e.count() != 2 {
		t.Errorf("got %v, error %v", got, err)
	}
	s, _ = open(t, status(200, `<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>`))
	if _, err := s.List(t.Context(), "", "", 3); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a page that leads nowhere: %v", err)
	}
}
