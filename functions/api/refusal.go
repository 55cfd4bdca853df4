// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"

	"github.com/aws/aws-lambda-go/events"

	"tare/internal/oci"
)

// refusal is an answer of the gateway itself, in the specification's form ("Error Codes").
func refusal(status int, code oci.Code, message string) events.APIGatewayV2HTTPResponse {
	type entry struct {
		Code    oci.Code `json:"code"`
		Message string   `json:"message"`
	}
	body, err := json.Marshal(map[string][]entry{"errors": {{code, message}}})
	if err != nil {
		body = []byte(`{"errors":[]}`) // strings are always JSON
	}
	return events.APIGatewayV2HTTPResponse{
		StatusCode: status,
		Headers: map[string]string{
			"Content-Type": "application/json", "Docker-Distribution-Api-Version": "registry/2.0", http.CanonicalHeaderKey("X-Content-Type-Options"): "nosniff",
		},
		Body:            base64.StdEncoding.EncodeToString(body),
		IsBase64Encoded: true,
	}
}
