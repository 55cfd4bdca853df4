// SPDX-License-Identifier: Apache-2.0

// Command function is a bootstrap that does what its events say, for the tests of the emulator. It speaks the Runtime API
// by itself, so that it can also break its rules.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// event says what to do, in this order.
type event struct {
	Exit    int    `json:"exit"`     // end with this status, in the middle of the event
	Hang    bool   `json:"hang"`     // never answer
	Use     int    `json:"use"`      // use so many MB
	Error   string `json:"error"`    // answer with an error
	Size    int    `json:"size"`     // answer with so many bytes
	Raw     string `json:"raw"`      // answer with this
	Wait    string `json:"wait"`     // before the answer, until this file is there
	After   string `json:"after"`    // after the answer, write this file every millisecond, for ever
	WrongID bool   `json:"wrong_id"` // answer with another id first
}

func main() {
	if os.Getenv("INIT") == "exit" {
		os.Exit(3)
	}
	api := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime"
	if os.Getenv("INIT") == "error" {
		post(api+"/init/error", `{"errorType":"Config","errorMessage":"TARE_TABLE is not set"}`)
		os.Exit(1)
	}
	fmt.Println("started")
	for {
		response, err := http.Get(api + "/invocation/next")
		if err != nil {
			os.Exit(2)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			os.Exit(2)
		}
		handle(api+"/invocation/", response.Header, body)
	}
}

func handle(api string, header http.Header, body []byte) {
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		post(api+header.Get("Lambda-Runtime-Aws-Request-Id")+"/error", `{"errorType":"Shape","errorMessage":"no event"}`)
		return
	}
	id := header.Get("Lambda-Runtime-Aws-Request-Id")
	if e.Exit != 0 {
		os.Exit(e.Exit)
	}
	if e.Hang {
		select {}
	}
	waste := make([]byte, e.Use<<20)
	for i := range waste {
		waste[i] = 1
	}
	for e.Wait != "" {
		if _, err := os.Stat(e.Wait); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if e.WrongID {
		fmt.Println("wrong id:", post(api+"0/response", `{}`))
	}
	switch {
	case e.Error != "":
		post(api+id+"/error", fmt.Sprintf(`{"errorType":"Told","errorMessage":%q}`, e.Error))
	case e.Size > 0:
		post(api+id+"/response", `"`+strings.Repeat("x", e.Size-2)+`"`)
	case e.Raw != "":
		post(api+id+"/response", e.Raw)
	default:
		answer, err := json.Marshal(map[string]any{"pid": os.Getpid(), "header": header, "environment": os.Environ(), "waste": len(waste)})
		if err != nil {
			os.Exit(2)
		}
		post(api+id+"/response", string(answer))
	}
	if e.After != "" {
		go func() {
			for n := 0; ; n++ {
				if err := os.WriteFile(e.After, fmt.Append(nil, n), 0o600); err != nil {
					os.Exit(4)
				}
				time.Sleep(time.Millisecond)
			}
		}()
	}
}

func post(url, body string) int {
	response, err := http.Post(url, "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		os.Exit(2)
	}
	response.Body.Close()
	return response.StatusCode
}
