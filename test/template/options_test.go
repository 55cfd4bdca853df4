// SPDX-License-Identifier: Apache-2.0

package template

import (
	"regexp"
	"strconv"
	"strings"
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

// Deleted is deleted, unless RecoveryDays say for how long the bucket keeps it: then it has versions, and they end with that time.
// Versions that are left when the days go back to 0 end, too.
func TestRecoveryDays(t *testing.T) {
	stack, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if standard := word(stack.Parameters["RecoveryDays"], "Default"); standard != "0" {
		t.Errorf("RecoveryDays are %s where nobody says", standard)
	}
	bucket := stack.Resources["Bucket"].Properties
	var expires any
	for _, rule := range list(bucket, "LifecycleConfiguration", "Rules") {
		if days := at(rule, "NoncurrentVersionExpiration", "NoncurrentDays"); days != nil && word(rule, "Status") == "Enabled" {
			expires = days
		}
	}
	for days, want := range map[string]struct{ versions, expire string }{"0": {"AWS::NoValue", "1"}, "1": {"Enabled", "1"}, "14": {"Enabled", "14"}} {
		e := Evaluator{stack, map[string]string{"RecoveryDays": days, "AWS::NoValue": "AWS::NoValue"}}
		choice := list(bucket["VersioningConfiguration"], "Fn::If")
		versions := at(choice[1], "Status")
		if !e.Condition(choice[0].(string)) {
			versions = choice[2]
		}
		if got := e.Text(versions); got != want.versions || e.Text(expires) != want.expire {
			t.Errorf("RecoveryDays %s: versions %s, which end after %s days", days, got, e.Text(expires))
		}
	}
}

// The outputs are lines to copy: what sam prints of them at 100 columns is not broken, or in the quotes of Mint, in each Region.
func TestOutputs(t *testing.T) {
	stack, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, region := range []string{"eu-west-1", "us-east-1", "ap-southeast-2", "ap-northeast-3"} {
		for _, options := range []string{"", "domain=registry.example.com,certificate=arn:aws:acm:eu-west-1:111122223333:certificate/0a-1b"} {
			host := "a1b2c3d4e5.execute-api." + region + ".amazonaws.com"
			if options != "" {
				host = "registry.example.com"
			}
			e := Evaluator{stack, map[string]string{
				"AWS::StackName": "tare", "AWS::Region": region, "AWS::URLSuffix": "amazonaws.com", "HttpApi": "a1b2c3d4e5", "Options": options,
			}}
			const room = 100 - 5 - 20 // sam's margins, and the name of the column
			for name, want := range map[string]string{
				"Registry": host, "Login": "docker login -u me " + host, "Tag": "docker tag alpine " + host + "/a", "Push": "docker push " + host + "/a",
			} {
				if got := e.Output(name); got != want || len(got) > room {
					t.Errorf("%s is %q of %d characters", name, got, len(got))
				}
			}
			command, event, quoted := strings.Cut(e.Output("Mint"), "'{ ")
			if want := "sam remote invoke Api --stack-name tare --region " + region + " -e "; command != want || len(command)+2 > room || !quoted ||
				!strings.HasSuffix(event, " }'") || strings.Contains(event, "-") {
				t.Errorf("Mint is %q", e.Output("Mint"))
			}
		}
	}
}

func variable(stack Template, function, name string) any {
	return at(stack.Resources[function].Properties, "Environment", "Variables", name)
}
