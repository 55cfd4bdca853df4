// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
)

// maxRequest is the most bytes of a request to DynamoDB: a transaction of 4 MB, with room.
const maxRequest = 16 << 20

// Meter counts what the table is asked for and what it answers.
type Meter struct {
	proxy *httputil.ReverseProxy

	mu     sync.Mutex
	counts Counts
	tokens map[string]bool
}

// Counts are calls of the table.
type Counts struct {
	Calls        map[string]int // by operation
	Transactions int            // TransactWriteItems that are no repetitions
	Repeated     int            // TransactWriteItems with a token that was there before
	Conflicts    int            // canceled because another transaction was under way
	Refused      int            // canceled because a condition did not hold
	Throttled    int
}

// newMeter returns a meter in front of a proxy that keeps the host.
func newMeter(target *httputil.ReverseProxy) *Meter {
	m := &Meter{proxy: target, counts: Counts{Calls: map[string]int{}}, tokens: map[string]bool{}}
	target.ModifyResponse = m.answered
	return m
}

func (m *Meter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var token struct{ ClientRequestToken string }
	if operation == "TransactWriteItems" {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
		if err != nil || json.Unmarshal(body, &token) != nil {
			http.Error(w, "not a transaction", http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	m.mu.Lock()
	m.counts.Calls[operation]++
	switch {
	case operation != "TransactWriteItems":
	case m.tokens[token.ClientRequestToken]:
		m.counts.Repeated++
	default:
		m.counts.Transactions++
		m.tokens[token.ClientRequestToken] = true
	}
	m.mu.Unlock()
	m.proxy.ServeHTTP(w, r)
}

func (m *Meter) answered(response *http.Response) error {
	if response.StatusCode != http.StatusBadRequest {
		return nil
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(body))
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case bytes.Contains(body, []byte("TransactionConflict")):
		m.counts.Conflicts++
	case bytes.Contains(body, []byte("ConditionalCheckFailed")):
		m.counts.Refused++
	case bytes.Contains(body, []byte("Throttl")) || bytes.Contains(body, []byte("ProvisionedThroughputExceeded")):
		m.counts.Throttled++
	}
	return nil
}

// Counts returns what was counted since the start, or the last Reset.
func (m *Meter) Counts() Counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.counts
	c.Calls = map[string]int{}
	for operation, n := range m.counts.Calls {
		c.Calls[operation] = n
	}
	return c
}

// Reset begins to count anew.
func (m *Meter) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts = Counts{Calls: map[string]int{}}
}
