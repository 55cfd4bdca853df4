// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"net"
	"strings"
	"testing"
)

func TestAccessRules(t *testing.T) {
	const fine = ""
	tests := []struct {
		args string
		want string // what the refusal says
	}{
		{"", fine},
		{"--listen localhost:5000", fine},
		{"--listen [::1]:5000", fine},
		{"--listen 127.9.9.9:1", fine},
		{"--listen 127.0.0.1:5000 --open", fine},
		{"--listen 127.0.0.1:5000 --htpasswd f", fine},
		{"--listen :5000", "--htpasswd"},
		{"--listen 0.0.0.0:5000", "--htpasswd"},
		{"--listen [::]:5000", "--htpasswd"},
		{"--listen 192.0.2.1:5000", "--htpasswd"},
		{"--listen :5000 --tls-cert c --tls-key k", "--htpasswd"},
		{"--listen :5000 --open", fine},
		{"--listen :5000 --htpasswd f", fine},
		{"--listen :5000 --htpasswd f --anonymous-pull --read-only-users a,b", fine},
		{"--listen :5000 --anonymous-pull", "need --htpasswd"},
		{"--read-only-users a", "need --htpasswd"},
		{"--open --htpasswd f", "one of them"},
		{"--tls-cert c", "belong together"},
		{"--tls-key k", "belong together"},
		{"--listen nonsense", "--listen"},
		{"--listen 127.0.0.1:99999", "--listen"},
		{"--metrics-listen 127.0.0.1:9", fine},
		{"--metrics-listen nonsense", "--metrics-listen"},
		{"--metrics-listen :9", "metrics are for users"},
		{"--listen :5000 --open --metrics-listen :9", "metrics are for users"},
		{"--listen :5000 --open --metrics-listen 127.0.0.1:9", fine},
		{"--listen :5000 --htpasswd f --metrics-listen :9", fine},
		{"--gc-interval 0", "--gc-interval"},
		{"--url https://registry.example", fine},
		{"--url http://registry.example:8080/", fine},
		{"--url registry.example", "--url"},
		{"--url ftp://registry.example", "--url"},
		{"--url https://registry.example/prefix", "--url"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			cli, err := parse(t, append([]string{"serve"}, strings.Fields(tt.args)...)...)
			if err != nil {
				t.Fatal(err)
			}
			_, err = cli.Serve.access()
			switch {
			case tt.want == fine && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != fine && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want a refusal that says %q", err, tt.want)
			}
		})
	}
}

func TestGreeting(t *testing.T) {
	tests := []struct {
		name string
		cmd  serveCmd
		ip   net.IP
		want string
	}{
		{"loopback", serveCmd{}, net.IPv4(127, 0, 0, 1), "at http://127.0.0.1:5000\n\n  docker tag IMAGE 127.0.0.1:5000/IMAGE\n  docker push 127.0.0.1:5000/IMAGE\n"},
		{"everywhere, with users", serveCmd{Htpasswd: "f"}, net.IPv6zero, "at http://localhost:5000\n\n  docker login localhost:5000\n  docker tag"},
		{"TLS", serveCmd{TLSCert: "c"}, net.IPv4(192, 0, 2, 1), "at https://192.0.2.1:5000\n"},
		{"behind a proxy", serveCmd{URL: "https://registry.example/"}, net.IPv4(127, 0, 0, 1), "at https://registry.example\n\n  docker tag IMAGE registry.example/IMAGE\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			tt.cmd.greet(&out, &net.TCPAddr{IP: tt.ip, Port: 5000})
			if !strings.Contains(out.String(), tt.want) {
				t.Errorf("got\n%s\nwant it to have\n%s", &out, tt.want)
			}
		})
	}
}
