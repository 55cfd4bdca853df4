// SPDX-License-Identifier: Apache-2.0

package cloud_test

import (
	"strings"
	"testing"
	"time"

	"tare/functions/internal/cloud"
)

func environment(variables map[string]string) *cloud.Environment {
	return cloud.NewEnvironment(func(name string) (string, bool) { v, ok := variables[name]; return v, ok })
}

func TestEnvironment(t *testing.T) {
	e := environment(map[string]string{"TEXT": " x ", "ON": "on", "OFF": "off", "DAYS": "14d", "NONE": "", "ZERO": "0"})
	if e.Text("TEXT") != "x" || !e.Switch("ON") || e.Switch("OFF") || e.Duration("DAYS") != 14*24*time.Hour || e.Duration("NONE") != 0 || e.Duration("ZERO") != 0 || e.Err() != nil {
		t.Errorf("misread: %v", e.Err())
	}
}

// What cannot be used is named, in one line, and the first of several it is.
func TestEnvironmentNamesTheVariable(t *testing.T) {
	for name, read := range map[string]func(*cloud.Environment){
		"MISSING":  func(e *cloud.Environment) { e.Text("MISSING"); e.Text("ANOTHER") },
		"BLANK":    func(e *cloud.Environment) { e.Text("BLANK") },
		"SWITCH":   func(e *cloud.Environment) { e.Switch("SWITCH") },
		"ABSENT":   func(e *cloud.Environment) { e.Duration("ABSENT") },
		"DURATION": func(e *cloud.Environment) { e.Duration("DURATION") },
		"NEGATIVE": func(e *cloud.Environment) { e.Duration("NEGATIVE") },
	} {
		e := environment(map[string]string{"BLANK": "  ", "SWITCH": "yes", "DURATION": "soon", "NEGATIVE": "-1h"})
		read(e)
		err := e.Err()
		if err == nil || !strings.Contains(err.Error(), "variable "+name+" ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfigNeedsWhatLambdaSets(t *testing.T) {
	all := map[string]string{"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "session"}
	c, err := cloud.Config(environment(all))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Credentials.Retrieve(t.Context()); err != nil || got.AccessKeyID != "id" || got.SecretAccessKey != "secret" || got.SessionToken != "session" || c.Region != "eu-central-1" {
		t.Errorf("got %+v in %q, %v", got, c.Region, err)
	}
	for _, name := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		without := map[string]string{}
		for k, v := range all {
			if k != name {
				without[k] = v
			}
		}
		if _, err := cloud.Config(environment(without)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}
