// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
)

// Way is how the bytes of a blob go up.
type Way string

// The two families of clients: containerd, BuildKit and oras send PUT; podman, skopeo, crane and classic Docker send PATCH, then an
// empty PUT.
const (
	PUT   Way = "PUT"
	PATCH Way = "PATCH"
)

// PushImage pushes the blobs of image that the registry does not have, asking for each with HEAD first as clients do, and then the
// manifest under tag.
func (c *Conn) PushImage(repository, tag string, image Image, way Way) error {
	for _, blob := range image.Blobs() {
		has, err := c.HasBlob(repository, blob)
		if err != nil {
			return err
		}
		if has {
			continue
		}
		if err := c.PushBlob(repository, blob, way); err != nil {
			return err
		}
	}
	return c.PushManifest(repository, tag, image.Manifest)
}

// HasBlob asks with HEAD whether the repository has blob.
func (c *Conn) HasBlob(repository string, blob Blob) (bool, error) {
	req := BlobRequest(c.addr, "HEAD", repository, blob)
	resp, err := c.Do(req)
	if err != nil {
		return false, err
	}
	if resp.Status == 404 {
		return false, nil
	}
	return true, check(req, resp, 200, int64(len(blob.Bytes)))
}

// PushBlob uploads blob in one piece.
func (c *Conn) PushBlob(repository string, blob Blob, way Way) error {
	target, err := c.startUpload(repository)
	if err != nil {
		return err
	}
	if way == PUT {
		return c.finishUpload(target, blob.Digest, blob.Bytes)
	}
	req := NewRequest(c.addr, "PATCH", target, blob.Bytes, octets)
	if target, err = c.patch(req); err != nil {
		return err
	}
	return c.finishUpload(target, blob.Digest, nil)
}

// PushStream uploads stream with one chunked PATCH, whose digest the closing PUT tells.
func (c *Conn) PushStream(repository string, stream *Stream) error {
	target, err := c.startUpload(repository)
	if err != nil {
		return err
	}
	if target, err = c.patch(NewStream(c.addr, "PATCH", target, stream, octets)); err != nil {
		return err
	}
	return c.finishUpload(target, stream.Digest(), nil)
}

// PushManifest puts manifest under reference, a tag or its digest.
func (c *Conn) PushManifest(repository, reference string, manifest Blob) error {
	target := "/v2/" + repository + "/manifests/" + reference
	_, err := c.Expect(NewRequest(c.addr, "PUT", target, manifest.Bytes, "Content-Type: "+ManifestType), 201, -1)
	return err
}

// CheckImage pulls image by tag and compares every byte.
func (c *Conn) CheckImage(repository, tag string, image Image) error {
	var got bytes.Buffer
	if _, err := c.Fetch(ManifestRequest(c.addr, "GET", repository, tag), 200, &got); err != nil {
		return err
	}
	if !bytes.Equal(got.Bytes(), image.Manifest.Bytes) {
		return fmt.Errorf("%s:%s is not the manifest that was pushed", repository, tag)
	}
	for _, blob := range image.Blobs() {
		if err := c.CheckBlob(repository, blob); err != nil {
			return err
		}
	}
	return nil
}

// CheckBlob pulls blob and compares its digest.
func (c *Conn) CheckBlob(repository string, blob Blob) error {
	sum := sha256.New()
	if _, err := c.Fetch(BlobRequest(c.addr, "GET", repository, blob), 200, sum); err != nil {
		return err
	}
	if got := digest([sha256.Size]byte(sum.Sum(nil))); got != blob.Digest {
		return fmt.Errorf("%s of %s has the digest %s", blob.Digest, repository, got)
	}
	return nil
}

// BlobRequest lays out a GET or HEAD of blob.
func BlobRequest(addr, method, repository string, blob Blob) *Request {
	return NewRequest(addr, method, "/v2/"+repository+"/blobs/"+blob.Digest, nil)
}

// ManifestRequest lays out a GET or HEAD of a manifest.
func ManifestRequest(addr, method, repository, reference string) *Request {
	return NewRequest(addr, method, "/v2/"+repository+"/manifests/"+reference, nil, "Accept: "+ManifestType)
}

const octets = "Content-Type: application/octet-stream"

func (c *Conn) startUpload(repository string) (string, error) {
	resp, err := c.Expect(NewRequest(c.addr, "POST", "/v2/"+repository+"/blobs/uploads/", nil), 202, -1)
	if err != nil {
		return "", err
	}
	return targetOf(resp.Location)
}

func (c *Conn) patch(req *Request) (string, error) {
	resp, err := c.Expect(req, 202, -1)
	if err != nil {
		return "", err
	}
	return targetOf(resp.Location)
}

func (c *Conn) finishUpload(target, digest string, body []byte) error {
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	_, err := c.Expect(NewRequest(c.addr, "PUT", target+separator+"digest="+digest, body, octets), 201, -1)
	return err
}

// targetOf is the path and query of a Location, which may name the host, too.
func targetOf(location string) (string, error) {
	path := location
	if _, rest, ok := strings.Cut(location, "://"); ok {
		_, rest, _ = strings.Cut(rest, "/")
		path = "/" + rest
	}
	if !strings.HasPrefix(path, "/") {
		return "", fmt.Errorf("cannot follow the Location %q", location)
	}
	return path, nil
}
