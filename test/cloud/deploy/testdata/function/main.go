// SPDX-License-Identifier: Apache-2.0

// Command function is a bootstrap that writes down its events, and answers the HTTP API with its environment.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	api := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"
	for {
		response, err := http.Get(api + "next")
		if err != nil {
			os.Exit(1)
		}
		event, err := io.ReadAll(response.Body)
		if err != nil {
			os.Exit(1)
		}
		answer, err := handle(event)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		url := api + response.Header.Get("Lambda-Runtime-Aws-Request-Id") + "/response"
		if _, err := http.Post(url, "application/json", strings.NewReader(answer)); err != nil {
			os.Exit(1)
		}
	}
}

func handle(event []byte) (string, error) {
	file, err := os.OpenFile(os.Getenv("EVENTS"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	defer file.Close()
	if _, err := fmt.Fprintf(file, "%s %s\n", os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), event); err != nil {
		return "", err
	}
	var e struct{ Tare, Name string }
	if err := json.Unmarshal(event, &e); err != nil {
		return "", err
	}
	if e.Tare == "credential" {
		return fmt.Sprintf(`{"name":%q,"token":"secret"}`, e.Name), nil
	}
	body, err := json.Marshal(os.Environ())
	if err != nil {
		return "", err
	}
	answer, err := json.Marshal(map[string]any{"statusCode": 200, "body": string(body)})
	return string(answer), err
}
