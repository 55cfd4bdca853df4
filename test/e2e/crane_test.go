// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/http"
	"testing"
)

func TestCrane(t *testing.T) {
	client{push: cranePush, pull: cranePull, bulk: http.MethodPatch, exact: true}.roundTrips(t)
}

func craneBox(t *testing.T, e endpoint) (*box, error) {
	b := newBox(t, e)
	if e.user == "" {
		return b, nil
	}
	_, err := b.feed(e.password, "crane", "auth", "login", e.addr, "-u", e.user, "--password-stdin")
	return b, err
}

func cranePush(t *testing.T, e endpoint, name string, img image) error {
	b, err := craneBox(t, e)
	if err != nil {
		return err
	}
	_, err = b.run("crane", "push", img.layout, e.ref(name))
	return err
}

func cranePull(t *testing.T, e endpoint, name string, img image) error {
	b, err := craneBox(t, e)
	if err != nil {
		return err
	}
	if _, err := b.run("crane", "pull", "--format", "oci", e.ref(name), b.file("pulled")); err != nil {
		return err
	}
	img.sameAs(t, b.file("pulled"))
	return nil
}
