// SPDX-License-Identifier: Apache-2.0

package lambda

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// API is the action Invoke of Lambda's own API, for functions that invoke functions and for whoever deploys:
// POST /2015-03-31/functions/NAME/invocations. Allow judges the caller, who signed the request, and the function's ARN; nil
// allows everybody.
func (s *Service) API(allow func(r *http.Request, arn string) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := invoked(r)
		if !ok {
			deny(w, http.StatusNotFound, "UnknownOperationException", "only Invoke is played here")
			return
		}
		f, err := s.find(name)
		if err != nil {
			tell(w, err)
			return
		}
		if allow != nil {
			if err := allow(r, f.ARN); err != nil {
				deny(w, http.StatusForbidden, "AccessDeniedException", err.Error())
				return
			}
		}
		event, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRequest))
		if err != nil {
			tell(w, ErrTooLarge)
			return
		}
		if len(event) == 0 {
			event = []byte("{}") // api: "Payload" is not required
		}
		s.invoke(w, r, name, event)
	})
}

// invoked is the function that a request is about.
func invoked(r *http.Request) (string, bool) {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), "/2015-03-31/functions/")
	if !ok || r.Method != http.MethodPost {
		return "", false
	}
	name, ok := strings.CutSuffix(rest, "/invocations")
	if !ok || strings.Contains(name, "/") {
		return "", false
	}
	name, err := url.PathUnescape(name)
	return name, err == nil
}

func (s *Service) invoke(w http.ResponseWriter, r *http.Request, name string, event []byte) {
	if !json.Valid(event) {
		tell(w, ErrNotJSON)
		return
	}
	switch kind := r.Header.Get("X-Amz-Invocation-Type"); kind {
	case "Event":
		id, err := s.Enqueue(name, event)
		if err != nil {
			tell(w, err)
			return
		}
		w.Header().Set("X-Amzn-Requestid", id)
		w.WriteHeader(http.StatusAccepted)
	case "DryRun":
		w.WriteHeader(http.StatusNoContent)
	case "", "RequestResponse":
		result, err := s.Invoke(r.Context(), name, event)
		if err != nil {
			tell(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Amzn-Requestid", result.ID)
		w.Header().Set("X-Amz-Executed-Version", "$LATEST")
		if result.Error != "" {
			w.Header().Set("X-Amz-Function-Error", result.Error)
		}
		w.Write(result.Payload)
	default:
		deny(w, http.StatusBadRequest, "InvalidParameterValueException", "invocation type "+kind)
	}
}

// tell answers with the error of the API that an error is. api: "Errors".
func tell(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, ErrThrottled):
		deny(w, http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded.")
	case errors.Is(err, ErrTooLarge):
		deny(w, http.StatusRequestEntityTooLarge, "RequestTooLargeException", err.Error())
	case errors.Is(err, ErrNotFound):
		deny(w, http.StatusNotFound, "ResourceNotFoundException", err.Error())
	case errors.Is(err, ErrNotJSON):
		deny(w, http.StatusBadRequest, "InvalidRequestContentException", err.Error())
	default:
		deny(w, http.StatusInternalServerError, "ServiceException", err.Error())
	}
}

func deny(w http.ResponseWriter, status int, kind, message string) {
	b, err := json.Marshal(map[string]string{"Type": "User", "Message": message})
	if err != nil {
		panic(err) // two strings
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", kind)
	w.WriteHeader(status)
	w.Write(b)
}
