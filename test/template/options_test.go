// SPDX-License-Identifier: Apache-2.0

package template

import (
	"regexp"
	"strconv"
	"testing"
)

// What is written in Options comes to where it is read, whatever stands beside it, and what is not written is its default.
func TestOptions(t *testing.T) {
	const certificate = "arn:aws:acm:eu-west-1:111122223333:certificate/0a-1b"
	defaults := map[string]string{
		"domain": "none", "certificate": "none", "dashboard": "false", "anonymous": "off", "untagged": "0", "sweep": "on",
	}
	stack, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		options, table string
		differ         map[string]string
	}{
		{"", "", nil},
		{"", "restored", map[string]string{"sweep": "off"}},
		{"sweep=on", "restored", map[string]string{"sweep": "on"}},
		{"sweep=off", "", map[string]string{"sweep": "off"}},
		{"anonymous-pull=on", "", map[string]string{"anonymous": "on"}},
		{"anonymous-pull=off,dashboard=on", "", map[string]string{"dashboard": "true"}},
		{"untagged-after=14d", "", map[string]string{"untagged": "14d"}},
		{"domain=r.example.com,certificate=" + certificate, "", map[string]string{"domain": "r.example.com", "certificate": certificate}},
		{"sweep=off,untagged-after=36h,domain=on,certificate=" + certificate + ",anonymous-pull=on,dashboard=on", "",
			map[string]string{"sweep": "off", "untagged": "36h", "domain": "on", "certificate": certificate, "anonymous": "on", "dashboard": "true"}},
	} {
		if !matches(stack, "Options", c.options) {
			t.Errorf("Options %q are refused", c.options)
		}
		e := Evaluator{stack, map[string]string{"Options": c.options, "ExistingTable": c.table}}
		got := map[string]string{
			"domain":      e.Text(stack.Resources["Domain"].Properties["DomainName"]),
			"certificate": e.Text(at(list(stack.Resources["Domain"].Properties, "DomainNameConfigurations")[0], "CertificateArn")),
			"dashboard":   strconv.FormatBool(e.Condition(stack.Resources["Dashboard"].Condition)),
			"anonymous":   e.Text(variable(stack, "Api", "TARE_ANONYMOUS_PULL")),
			"untagged":    e.Text(variable(stack, "Gc", "TARE_UNTAGGED_AFTER")),
			"sweep":       e.Text(variable(stack, "Gc", "TARE_SWEEP")),
		}
		for name, want := range defaults {
			if differs, is := c.differ[name]; is {
				want = differs
			}
			if got[name] != want {
				t.Errorf("Options %q, ExistingTable %q: %s is %q, want %q", c.options, c.table, name, got[name], want)
			}
		}
		if own, has := e.Text(variable(stack, "Api", "TARE_UNTAGGED_AFTER")), e.Condition(stack.Resources["Domain"].Condition); own != got["untagged"] || has != (got["domain"] != "none") {
			t.Errorf("Options %q: api has %q where gc has %q; there is a domain: %v", c.options, own, got["untagged"], has)
		}
	}
}

// What no setting is, is refused before anything is deployed.
func TestOptionsThatAreNone(t *testing.T) {
	stack, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, options := range []string{
		"dashboard", "dashboard=yes", "dashboard=on,", "dashboard=onsweep=on", "untagged-after=14", "untagged-after=-1d",
		"domain=r.example.com", "domain=r.example.com,certificate=none", "unknown=on", "sweep=off sweep=on",
	} {
		if matches(stack, "Options", options) {
			t.Errorf("Options %q are taken", options)
		}
	}
	for name := range stack.Parameters {
		if standard := word(stack.Parameters[name], "Default"); !matches(stack, name, standard) {
			t.Errorf("%s does not take its own default %q", name, standard)
		}
	}
}

// matches tells whether CloudFormation takes a value of a parameter: the pattern is to match all of it.
func matches(t Template, parameter, value string) bool {
	pattern := word(t.Parameters[parameter], "AllowedPattern")
	return pattern == "" || regexp.MustCompile(`^(?:`+pattern+`)$`).MatchString(value)
}

func variable(stack Template, function, name string) any {
	return at(stack.Resources[function].Properties, "Environment", "Variables", name)
}
