// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"errors"
	"net"
)

// doors are the addresses that a server listens on.
type doors struct {
	access      access
	certificate *certificate // nil: no TLS
	public      net.Listener
	metrics     net.Listener // nil: none of its own
}

// openDoors opens all addresses, or none.
func (cmd *serveCmd) openDoors(c *console, a access) (_ *doors, err error) {
	d := &doors{access: a}
	if cmd.TLSCert != "" {
		if d.certificate, err = loadCertificate(cmd.TLSCert, cmd.TLSKey, c.clock, c.log); err != nil {
			return nil, err
		}
	}
	if d.public, err = d.listen(a.address, true); err != nil {
		return nil, err
	}
	if a.metrics != nil {
		if d.metrics, err = d.listen(a.metrics, remote(a.metrics)); err != nil {
			return nil, errors.Join(err, d.public.Close())
		}
	}
	return d, nil
}

// listen opens an address, for TLS where there is a certificate and secure asks for it.
func (d *doors) listen(address *net.TCPAddr, secure bool) (net.Listener, error) {
	l, err := net.ListenTCP("tcp", address)
	if err != nil {
		return nil, err
	}
	if d.certificate == nil || !secure {
		return l, nil
	}
	return tls.NewListener(l, d.certificate.config()), nil
}

// close closes what no server has closed before.
func (d *doors) close() {
	_ = d.public.Close()
	if d.metrics != nil {
		_ = d.metrics.Close()
	}
}
