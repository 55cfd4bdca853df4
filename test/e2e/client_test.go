// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/http"
	"testing"
)

// A client is what the shared checks ask of one.
type client struct {
	// push sends the image to the endpoint under a name, "repository:tag", from storage of its own.
	push func(t *testing.T, e endpoint, name string, img image) error

	// pull fetches the name into storage that held nothing, and checks that what is there is the image.
	pull func(t *testing.T, e endpoint, name string, img image) error

	// bulk is the request that carries a layer: PATCH, closed by an empty PUT, or PUT alone.
	bulk string

	// exact clients keep manifests as they are, and so carry indexes too.
	exact bool
}

// roundTrips pushes and pulls in each way that a registry lets clients in, and checks how the layers traveled.
func (c client) roundTrips(t *testing.T) {
	eachAccess(t, func(t *testing.T, w ways) {
		img := newImage(t, t.Name())
		const name = "team/app:1.0"
		for _, stranger := range w.noPush {
			if err := c.push(t, stranger, name, img); err == nil {
				t.Errorf("a push as %q:%q succeeded", stranger.user, stranger.password)
			}
			if _, _, there := w.writer.manifest(t, "team/app", "1.0"); there {
				t.Fatal("a refused push left its tag")
			}
		}
		c.pushed(t, w.writer, name, img)
		for _, stranger := range w.noPull {
			if err := c.pull(t, stranger, name, img); err == nil {
				t.Errorf("a pull as %q:%q succeeded", stranger.user, stranger.password)
			}
		}
		c.pulled(t, w.reader, name, img)
		if c.exact {
			index := newIndex(t, t.Name())
			c.pushed(t, w.writer, "team/app:multi", index)
			c.pulled(t, w.reader, "team/app:multi", index)
		}
	})
	t.Run("bulk", func(t *testing.T) {
		e, wire := record(t, serve(t, access{}).endpoint)
		img := newImage(t, t.Name())
		c.pushed(t, e, "team/app:1.0", img)
		for _, method := range []string{http.MethodPatch, http.MethodPut} {
			sent := wire.count(func(x exchange) bool { return x.isUpload() && x.method == method && x.length != 0 })
			if (sent > 0) != (method == c.bulk) {
				t.Errorf("%d uploads by %s, want all by %s", sent, method, c.bulk)
			}
		}
		wire.tell(t)
	})
}

func (c client) pushed(t *testing.T, e endpoint, name string, img image) {
	t.Helper()
	if err := c.push(t, e, name, img); err != nil {
		t.Fatal(err)
	}
	if root := e.holds(t, name); c.exact && root.Digest != img.root.Digest {
		t.Errorf("the registry has %s, want %s", root.Digest, img.root.Digest)
	}
}

func (c client) pulled(t *testing.T, e endpoint, name string, img image) {
	t.Helper()
	if err := c.pull(t, e, name, img); err != nil {
		t.Fatal(err)
	}
}

// ways are the endpoints of one registry: who may do what.
type ways struct {
	writer, reader endpoint
	noPush, noPull []endpoint
}

// eachAccess runs a check against a registry that is open, one that asks for credentials, one that lets strangers pull,
// and one behind TLS with an authority of its own.
func eachAccess(t *testing.T, check func(t *testing.T, w ways)) {
	t.Run("open", func(t *testing.T) {
		e := serve(t, access{}).endpoint
		check(t, ways{writer: e, reader: e})
	})
	t.Run("credentials", func(t *testing.T) {
		need(t, credentials)
		e := serve(t, access{credentials: true}).endpoint
		strangers := []endpoint{e.as("", ""), e.as(user, "wrong")}
		check(t, ways{writer: e, reader: e, noPush: strangers, noPull: strangers})
	})
	t.Run("anonymous pull", func(t *testing.T) {
		need(t, anonymousPull)
		e := serve(t, access{credentials: true, anonymous: true}).endpoint
		stranger := e.as("", "")
		check(t, ways{writer: e, reader: stranger, noPush: []endpoint{stranger}})
	})
	t.Run("tls", func(t *testing.T) {
		a := access{tls: true, credentials: !lacks(t, credentials)}
		e := serve(t, a).endpoint
		check(t, ways{writer: e, reader: e})
	})
}
