// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
)

func directRaces(c *client) {
	part := c.leastPart()
	for round := range 4 {
		b := newBlob(20_000)
		var partSize int64
		if round%2 == 1 {
			partSize = part
		}
		parallel(6, func(i int) {
			if err := c.pushDirect(b, partSize); err != nil {
				c.Errorf("client %d: %v", i, err)
			}
		})
	}
	for round := range 4 {
		b := newBlob(20_000)
		d := c.openDirect(b, part*int64(round%2))
		if d.Put != nil {
			d.brought(*d.Put, b.bytes)
		} else {
			for number := range d.Parts {
				d.bringParts(number + 1)
			}
		}
		parallel(6, func(int) {
			a, err := d.tryComplete()
			if err == nil && a.status != 201 {
				err = fmt.Errorf("complete: status %d: %s", a.status, clip(a.body))
			}
			if err != nil {
				c.Error(err)
			}
		})
		c.wantBlob(b)
	}
}

// pushDirect is a whole upload, for goroutines.
func (c *client) pushDirect(b content, partSize int64) error {
	a, err := c.try("POST", c.tare("uploads"), object(map[string]any{"digest": b.digest, "size": len(b.bytes), "parts": partSize > 0, "partSize": partSize}))
	if err != nil {
		return err
	}
	if a.status == 200 {
		return c.read(c.blob(b.digest), b)
	}
	d := &direct{client: c, blob: b}
	if err := json.Unmarshal(a.body, &d.directState); err != nil || a.status != 201 {
		return fmt.Errorf("open: status %d: %s", a.status, clip(a.body))
	}
	requests := []signed{}
	if d.Put != nil {
		requests = append(requests, *d.Put)
	}
	for number := 1; number <= d.Parts; number++ {
		bytes := d.part(number)
		ask := map[string]any{"number": number, "size": len(bytes), "digest": digest.FromBytes(bytes)}
		a, err := d.try("POST", d.at("/urls"), object(map[string]any{"parts": []any{ask}}))
		if err != nil {
			return err
		}
		var answer struct{ URLs []signed }
		if err := json.Unmarshal(a.body, &answer); err != nil || a.status != 200 || len(answer.URLs) != 1 {
			return fmt.Errorf("urls: status %d: %s", a.status, clip(a.body))
		}
		requests = append(requests, answer.URLs[0])
	}
	for _, r := range requests {
		bytes := b.bytes
		if r.Number > 0 {
			bytes = d.part(r.Number)
		}
		if status, err := c.bring(r, bytes); err != nil || status != 200 {
			return fmt.Errorf("the store answers %d, %v", status, err)
		}
	}
	a, err = d.tryComplete()
	if err == nil && a.status != 201 {
		err = fmt.Errorf("complete: status %d: %s", a.status, clip(a.body))
	}
	if err != nil {
		return err
	}
	return c.read(c.blob(b.digest), b)
}
