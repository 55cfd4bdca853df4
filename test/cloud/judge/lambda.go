// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
)

// maxEvent bounds an invocation's body, as Lambda does (quotas, 2026-11).
const maxEvent = 6 << 20

// Lambda judges a request to invoke the function with an ARN. It reads the request's body, which is there again afterwards.
func (j *Judge) Lambda(r *http.Request, arn string) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxEvent+1))
	if err != nil {
		return err
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
	sum := sha256.Sum256(body)
	a, _, err := j.authenticate(r, "lambda", hex.EncodeToString(sum[:]))
	if err != nil {
		j.refuseSigned(a, r, err)
		return err
	}
	if r.URL.RawQuery != "" {
		err := fmt.Errorf("the query %q, as of a version of the function, is not known here", r.URL.RawQuery)
		j.refuse(Refusal{Kind: Unknown, Actor: a.id, Resource: arn, Why: err.Error()})
		return err
	}
	if refusal := j.pass(a, "Invoke", need{action: "lambda:InvokeFunction", resource: arn}); refusal != nil {
		return denied(a, refusal)
	}
	return nil
}
