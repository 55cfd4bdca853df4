// SPDX-License-Identifier: Apache-2.0

package bare_test

import (
	"net/http/httptest"
	"testing"

	"tare/test/bench/bare"
	"tare/test/bench/load"
)

func serve(t *testing.T) (string, *load.Conn) {
	t.Helper()
	server := httptest.NewServer(bare.New(t.TempDir()))
	t.Cleanup(server.Close)
	addr := server.Listener.Addr().String()
	conn, err := load.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return addr, conn
}

func TestPushAndPull(t *testing.T) {
	for _, way := range []load.Way{load.PUT, load.PATCH} {
		t.Run(string(way), func(t *testing.T) {
			_, conn := serve(t)
			image := load.NewSource(1).Image(3, 3<<20)
			if err := conn.PushImage("a/b", "tag", image, way); err != nil {
				t.Fatal(err)
			}
			if err := conn.CheckImage("a/b", "tag", image); err != nil {
				t.Error(err)
			}
			if has, err := conn.HasBlob("a/b", image.Layers[0]); err != nil || !has {
				t.Errorf("HEAD of a layer: %t, %v", has, err)
			}
			if has, err := conn.HasBlob("a/c", image.Layers[0]); err != nil || has {
				t.Errorf("HEAD in another repository: %t, %v", has, err)
			}
		})
	}
}

func TestStream(t *testing.T) {
	_, conn := serve(t)
	stream := load.NewSource(1).Stream(3<<20 + 7)
	if err := conn.PushStream("a", stream); err != nil {
		t.Fatal(err)
	}
	if err := conn.CheckBlob("a", load.Blob{Digest: stream.Digest()}); err != nil {
		t.Error(err)
	}
}

func TestWrongDigest(t *testing.T) {
	addr, conn := serve(t)
	req := load.NewRequest(addr, "PUT", "/v2/a/blobs/uploads/1?digest=sha256:00", []byte("content"))
	if resp, err := conn.Do(req); err != nil || resp.Status != 400 {
		t.Errorf("a wrong digest was answered %+v, %v", resp, err)
	}
}
