// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

// maxEvent bounds an invocation's body, as Lambda does (quotas, 2026-11).
const maxEvent = 6 << 20

// Lambda judges invocations and hands those that pass to the configuration's Lambda, as they came.
func (j *Judge) Lambda() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
		if err != nil {
			writeLambdaError(w, http.StatusRequestEntityTooLarge, "RequestTooLargeException", err.Error())
			return
		}
		sum := sha256.Sum256(body)
		a, _, err := j.authenticate(r, "lambda", hex.EncodeToString(sum[:]))
		if err != nil {
			j.refuseSigned(a, r, err)
			writeLambdaError(w, http.StatusForbidden, "InvalidSignatureException", err.Error())
			return
		}
		arn, err := j.invoked(r)
		if err != nil {
			j.refuse(Refusal{Actor: a.id, Resource: r.Method + " " + r.URL.Path, Why: err.Error()})
			writeLambdaError(w, http.StatusNotFound, "ResourceNotFoundException", err.Error())
			return
		}
		if refusal := j.pass(a, "Invoke", need{action: "lambda:InvokeFunction", resource: arn}); refusal != nil {
			var f *fault
			errors.As(denied(a, refusal), &f)
			writeLambdaError(w, http.StatusForbidden, "AccessDeniedException", f.text)
			return
		}
		if j.config.Lambda == nil {
			writeLambdaError(w, http.StatusNotFound, "ResourceNotFoundException", "nothing is there to be invoked")
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		j.config.Lambda.ServeHTTP(w, r)
	})
}

// invoked finds the function that a request invokes, by its name or ARN. A qualifier is not known.
func (j *Judge) invoked(r *http.Request) (arn string, err error) {
	name, found := strings.CutPrefix(r.URL.Path, "/2015-03-31/functions/")
	name, invokes := strings.CutSuffix(name, "/invocations")
	if r.Method != http.MethodPost || !found || !invokes || r.URL.RawQuery != "" {
		return "", errors.New("the judge knows no such call")
	}
	for _, f := range j.config.Stack.Functions {
		if name == f.Name || name == f.ARN {
			return f.ARN, nil
		}
	}
	return "", errors.New("there is no function " + name)
}

func writeLambdaError(w http.ResponseWriter, status int, code, text string) {
	body, _ := json.Marshal(map[string]string{"Message": text})
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-ErrorType", code)
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away does not read it
}
