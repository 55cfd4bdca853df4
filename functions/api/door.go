// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"

	"github.com/aws/aws-lambda-go/events"

	"tare/internal/oci"
)

// door answers the events of the function: requests of an HTTP API, and the operator's. It never returns an error, which
// the runtime would count as a fault of the function, and which anyone could raise.
type door struct {
	gateway  *gateway
	operator *operator
	log      *slog.Logger
}

// event is a request, or what an operator wants: an event of a gateway has a version, and no "tare".
type event struct {
	events.APIGatewayV2HTTPRequest
	Tare string `json:"tare"`
}

// Invoke implements lambda.Handler.
func (d *door) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var e event
	if err := json.Unmarshal(payload, &e); err != nil {
		return d.stranger()
	}
	if e.Tare != "" && e.Version == "" && e.RouteKey == "" && e.RequestContext.HTTP.Method == "" {
		return encode(d.operator.serve(ctx, payload))
	}
	if e.Version != "2.0" || e.RequestContext.HTTP.Method == "" {
		return d.stranger()
	}
	return encode(d.gateway.serve(ctx, &e.APIGatewayV2HTTPRequest))
}

// stranger answers what no gateway makes of a request: it comes from an integration with another payload format, from another
// service, or from whoever may invoke the function.
func (d *door) stranger() ([]byte, error) {
	d.log.Warn("An event is none of an HTTP API with payload format 2.0, nor an operator's.")
	return encode(refusal(http.StatusBadRequest, oci.Unsupported, "this is no event of an HTTP API with payload format 2.0"))
}

// encode cannot fail: what it is given is text, numbers and maps of them.
func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte(`{"statusCode":500}`)
	}
	return b, nil
}
