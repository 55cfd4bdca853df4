// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
)

// An event that is no request in the form that the function reads is answered 400, and is not half of one.
func TestStrangeEvents(t *testing.T) {
	for name, payload := range map[string]string{
		"nothing":                `nothing`,
		"cut off":                `{"version":"2.0","rawPath":"/v2/"`,
		"two":                    `{}{}`,
		"null":                   `null`,
		"a list":                 `[{"version":"2.0"}]`,
		"a text":                 `"/v2/"`,
		"empty":                  `{}`,
		"deep":                   `{"headers":` + strings.Repeat(`{"a":`, 9000) + `1` + strings.Repeat(`}`, 9000) + `}`,
		"a context that is none": `{"version":"2.0","rawPath":"/v2/","requestContext":7}`,
		"no context":             `{"version":"2.0","rawPath":"/v2/"}`,
		"no method":              `{"version":"2.0","rawPath":"/v2/","requestContext":{"http":{}}}`,
		"no version":             `{"rawPath":"/v2/","requestContext":{"http":{"method":"GET"}}}`,
		"headers that are lists": `{"version":"2.0","rawPath":"/v2/","headers":{"a":["b"]},"requestContext":{"http":{"method":"GET"}}}`,
		"another version":        `{"version":"3.0","rawPath":"/v2/","requestContext":{"http":{"method":"GET"}}}`,
		"a version that is none": `{"version":2,"rawPath":"/v2/","requestContext":{"http":{"method":"GET"}}}`,
		"payload format 1.0": `{"version":"1.0","resource":"/{proxy+}","path":"/v2/","httpMethod":"GET","headers":{"Host":"a"},"multiValueHeaders":{"Host":["a"]},
			"queryStringParameters":null,"requestContext":{"httpMethod":"GET","path":"/v2/","identity":{"sourceIp":"192.0.2.1"}},"body":null,"isBase64Encoded":false}`,
		"a load balancer's": `{"requestContext":{"elb":{"targetGroupArn":"arn"}},"httpMethod":"GET","path":"/v2/","headers":{},"body":"","isBase64Encoded":false}`,
		"a bucket's":        `{"version":"0","detail-type":"Object Created","source":"aws.s3","detail":{"object":{"key":"o"}}}`,
		"a WebSocket's":     `{"requestContext":{"routeKey":"$connect","eventType":"CONNECT"},"isBase64Encoded":false}`,
		"a queue's":         `{"Records":[{"messageId":"a","body":"{}","eventSource":"aws:sqs"}]}`,
	} {
		w := newWorld(t, start(), true)
		if a, body := answer(t, w.door, []byte(payload)); a.StatusCode != 400 || !isError(body) {
			t.Errorf("%s: %d %s", name, a.StatusCode, body)
		}
		if strings.Count(w.log.String(), "\n") != 1 || !strings.Contains(w.log.String(), "payload format 2.0") {
			t.Errorf("%s: logged %s", name, w.log)
		}
	}
	// Lambda gives events as JSON, whose bytes need not be UTF-8.
	w := newWorld(t, start(), true)
	if a, body := answer(t, w.door, []byte("{\"version\":\"2.0\",\"rawPath\":\"/v2/\xff\xfe/tags/list\",\"requestContext\":{\"http\":{\"method\":\"GET\"}}}")); a.StatusCode != 400 || !isError(body) {
		t.Errorf("bytes that are no UTF-8: %d %s", a.StatusCode, body)
	}
}

// isError tells whether a body is an error in the specification's form.
func isError(body []byte) bool {
	var e struct {
		Errors []struct{ Code, Message string }
	}
	return json.Unmarshal(body, &e) == nil && len(e.Errors) == 1 && e.Errors[0].Code != "" && e.Errors[0].Message != ""
}

// Whatever a client sends, and whoever it is, what comes back is an answer: no failure of the function, no internal error, and
// where it is a refusal, one in the specification's form.
func TestAbsurdRequests(t *testing.T) {
	w := newWorld(t, start(), true)
	minted := w.order(`{"tare":"credential","do":"mint","name":"root","rights":"admin"}`)
	if a, _ := w.invoke(httpEvent("PUT", "/v2/a/manifests/v1", as("root", minted.Token), func(e *events.APIGatewayV2HTTPRequest) {
		e.Body = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
	})); a.StatusCode != 201 {
		t.Fatalf("the manifest: %d", a.StatusCode)
	}
	sum := "sha256:" + strings.Repeat("a", 64)
	methods := []string{"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PRI", "get", "GÉT", "G T", "GET\r\nX: y", "\x00", strings.Repeat("M", 10000)}
	paths := []string{
		"", "/", "*", "/v2", "/v2/", "/v2//", "//v2/", "/v2/../v2/", "/v2/./", "/v2/_catalog", "/token", "/token/", "/v2/_oci/ext/discover", "/v2/a/_tare/v1/have",
		"/v2/a/_tare/v1/uploads", "/v2/a/_tare/v1/uploads/x/urls", "/v2/a/manifests/v1", "/v2/a/manifests/" + sum, "/v2/a/manifests/sha256%3A" + sum[7:], "/v2/a/blobs/" + sum,
		"/v2/a/blobs/sha256:", "/v2/a/blobs/uploads/", "/v2/a/blobs/uploads/x", "/v2/a/blobs/uploads/\x00", "/v2/a/tags/list", "/v2/a/referrers/" + sum, "/v2/a\x00/tags/list",
		"/v2/a%2Fb/tags/list", "/v2/a%/tags/list", "/v2/%zz/tags/list", "/v2/" + strings.Repeat("a/", 5000) + "tags/list", "/v2/" + strings.Repeat("%", 9000), "/v2/\u202e/😀/tags/list",
		"/v2/a\\b/tags/list", "/v2/a;b=c/tags/list", "/v2/a/manifests/v1?x#y", "http://elsewhere/v2/", "v2/", "/v2/\r\nX: y", "/v2/ /tags/list", "/v2/a/manifests/" + strings.Repeat("v", 9000),
	}
	variants := map[string]func(*events.APIGatewayV2HTTPRequest){
		"plain":        func(*events.APIGatewayV2HTTPRequest) {},
		"bad base64":   func(e *events.APIGatewayV2HTTPRequest) { e.Body, e.IsBase64Encoded = "a=b", true },
		"base64's lie": func(e *events.APIGatewayV2HTTPRequest) { e.Body, e.IsBase64Encoded = `{"digests":[]}`, true },
		"a body":       func(e *events.APIGatewayV2HTTPRequest) { e.Body = "\x00\ufffd{" },
		"queries": func(e *events.APIGatewayV2HTTPRequest) {
			e.RawQueryString = strings.Repeat("n=1&n=x&last=%zz&digest=sha256:&mount=%00&from=..&artifactType=;&wait=-1&%=%&", 100)
			e.QueryStringParameters = map[string]string{"n": "1,x"}
		},
		"headers": func(e *events.APIGatewayV2HTTPRequest) {
			for _, name := range []string{"range", "content-range", "if-none-match", "if-match", "if-range", "accept", "content-type", "content-encoding", "x-forwarded-proto",
				"x-forwarded-for", "transfer-encoding", "expect", "oci-chunk-min-length", "", "\x00", "a b", "ä"} {
				e.Headers[name] = "\x00bytes=-9223372036854775809-99999999999999999999,,\"\r\n☃"
			}
			e.Cookies = []string{"", "a=b", strings.Repeat("c", 9000), "\x00"}
		},
		"large headers": func(e *events.APIGatewayV2HTTPRequest) {
			for i := range 100 {
				e.Headers[fmt.Sprintf("x-%d", i)] = strings.Repeat("v", 1000)
			}
			e.Headers["authorization"] = "Bearer " + strings.Repeat("A", 8000)
		},
		"no context": func(e *events.APIGatewayV2HTTPRequest) {
			e.Headers, e.RequestContext.DomainName, e.RequestContext.HTTP.SourceIP = nil, "", ""
		},
		"odd context": func(e *events.APIGatewayV2HTTPRequest) {
			e.RequestContext.DomainName, e.RequestContext.HTTP.SourceIP = "[::1]:x y", "not an address"
		},
		"odd basic":  func(e *events.APIGatewayV2HTTPRequest) { e.Headers["authorization"] = "Basic AA==" },
		"odd scheme": func(e *events.APIGatewayV2HTTPRequest) { e.Headers["authorization"] = "\x00 " + minted.Token },
		"lengths":    func(e *events.APIGatewayV2HTTPRequest) { e.Headers["content-length"] = "99999999999999999999" },
	}
	names := slices.Sorted(maps.Keys(variants))
	for i, path := range paths {
		for j, method := range methods {
			for _, name := range []string{"plain", names[(7*i+j)%len(names)]} { // each comes with every method, and with every path
				a, body := w.invoke(httpEvent(method, path, as("root", minted.Token), variants[name]))
				if a.StatusCode >= 500 || a.StatusCode < 200 || a.StatusCode >= 400 && method != "HEAD" && !isError(body) {
					t.Errorf("%.20q %.60q, %s: %d %.200s", method, path, name, a.StatusCode, body)
				}
				for field, value := range a.Headers {
					if strings.ContainsAny(field+value, "\r\n") || len(value) > 10000 {
						t.Errorf("%.20q %.60q, %s: %s is %.100q", method, path, name, field, value)
					}
				}
			}
		}
	}
	if strings.Contains(w.log.String(), `"level":"ERROR"`) || strings.Contains(w.log.String(), minted.Token) {
		t.Error("something broke, or the log has the token")
	}
}

// A handler that panics is a 500 with the request's id; its stack is in the log, and the process goes on.
func TestPanicIsNotTheEnd(t *testing.T) {
	log, broken := new(strings.Builder), true
	d := &door{gateway: newGateway(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if broken {
			panic("assignment to entry in nil map")
		}
	}), slog.New(slog.NewJSONHandler(log, nil)))}
	payload, err := json.Marshal(httpEvent("GET", "/v2/", func(e *events.APIGatewayV2HTTPRequest) { e.Headers["authorization"] = "Basic c2VjcmV0" }))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if a, body := answer(t, d, payload); a.StatusCode != 500 || !isError(body) || !strings.Contains(string(body), "8476a536") || strings.Contains(string(body), "nil map") {
			t.Errorf("%d %s", a.StatusCode, body)
		}
	}
	broken = false
	if a, _ := answer(t, d, payload); a.StatusCode != 200 {
		t.Errorf("after it: %d", a.StatusCode)
	}
	if said := log.String(); strings.Count(said, "\n") != 3 || !strings.Contains(said, "malformed_test.go") || !strings.Contains(said, "8476a536") || strings.Contains(said, "c2VjcmV0") {
		t.Errorf("logged %s", said)
	}
}
