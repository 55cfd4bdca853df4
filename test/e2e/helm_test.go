// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestHelm packages a chart, pushes it and pulls it back.
func TestHelm(t *testing.T) {
	eachAccess(t, func(t *testing.T, w ways) {
		b := newBox(t, endpoint{})
		for name, body := range map[string]string{
			"Chart.yaml":               "apiVersion: v2\nname: scales\nversion: 1.2.3\n",
			"values.yaml":              "weight: 0\n",
			"templates/configmap.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: scales\ndata:\n  weight: \"{{ .Values.weight }}\"\n",
		} {
			file := filepath.Join(b.file("scales"), name)
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		b.must("helm", "package", "scales")
		chart := b.file("scales-1.2.3.tgz")

		for _, stranger := range w.noPush {
			if err := helmPush(t, stranger, chart); err == nil {
				t.Errorf("a push as %q:%q succeeded", stranger.user, stranger.password)
			}
		}
		if err := helmPush(t, w.writer, chart); err != nil {
			t.Fatal(err)
		}
		w.writer.holds(t, "charts/scales:1.2.3")

		for _, stranger := range w.noPull {
			if _, err := helmPull(t, stranger); err == nil {
				t.Errorf("a pull as %q:%q succeeded", stranger.user, stranger.password)
			}
		}
		pulled, err := helmPull(t, w.reader)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(chart)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(pulled); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the pulled chart differs from the pushed one, or %v", err)
		}
	})
}

// helmBox returns a box whose helm is logged in, and the options by which it reaches the endpoint.
func helmBox(t *testing.T, e endpoint) (*box, []string, error) {
	t.Helper()
	b := newBox(t, e)
	options := []string{"--plain-http"}
	if e.ca != "" {
		options = []string{"--ca-file", e.ca}
	}
	if e.user == "" {
		return b, options, nil
	}
	_, err := b.feed(e.password, "helm", append([]string{"registry", "login", e.addr, "-u", e.user, "--password-stdin"}, options...)...)
	return b, options, err
}

func helmPush(t *testing.T, e endpoint, chart string) error {
	b, options, err := helmBox(t, e)
	if err != nil {
		return err
	}
	_, err = b.run("helm", append([]string{"push", chart, "oci://" + e.ref("charts")}, options...)...)
	return err
}

// helmPull returns the file of the pulled chart.
func helmPull(t *testing.T, e endpoint) (string, error) {
	b, options, err := helmBox(t, e)
	if err != nil {
		return "", err
	}
	_, err = b.run("helm", append([]string{"pull", "oci://" + e.ref("charts/scales"), "--version", "1.2.3"}, options...)...)
	return b.file("scales-1.2.3.tgz"), err
}
