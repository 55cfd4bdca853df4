// SPDX-License-Identifier: Apache-2.0

package gates

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tare/test/template"
)

// deployRelease deploys the release folder as it is, by sam alone: neither Go nor make nor another program is there.
func deployRelease(t *testing.T) {
	release := filepath.Join(root, "bin", "release")
	for _, name := range []string{"README.md", "LICENSE"} {
		content(t, filepath.Join(release, name))
	}
	for name, deploy := range map[string]func(t *testing.T, folder string){"answers": deployByAnswers, "questions": deployByQuestions} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			if err := os.CopyFS(folder, os.DirFS(release)); err != nil {
				t.Fatal(err)
			}
			deploy(t, folder)
		})
	}
}

// The answers that stand in samconfig.toml do. What is not answered has its default, and later what the stack has.
func deployByAnswers(t *testing.T, folder string) {
	cloud := newAccount(t)
	zips := new(bucket)
	sam := samAgainst(t, cloud, zips, folder)

	out := sam.run(t, "y\n", "deploy", "--region", "eu-west-1")
	if len(cloud.changes) != 1 || cloud.done != 1 {
		t.Fatalf("%d change sets were made and %d executed:\n%s", len(cloud.changes), cloud.done, out)
	}
	create := cloud.changes[0]
	if got := parameters(create); len(got) > 0 {
		t.Errorf("a first deploy answers %v", got)
	}
	for name, want := range map[string]string{
		"ChangeSetType": "CREATE", "Capabilities.member.1": "CAPABILITY_IAM", "StackName": "tare",
		"Tags.member.1.Key": "application", "Tags.member.1.Value": "tare",
	} {
		if create.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, create.Get(name), want)
		}
	}
	for _, door := range doors {
		if !zips.has(content(t, filepath.Join(folder, door+".zip"))) {
			t.Errorf("%s.zip was not uploaded as it is", door)
		}
	}

	// What is copied from the outputs, broken lines and all, does what it says.
	paste := exec.CommandContext(t.Context(), "/bin/sh", "-c", pasted(t, out, "Mint"))
	paste.Env = append(sam.environment(), "PATH="+tools(t))
	if said, err := paste.CombinedOutput(); err != nil || !strings.Contains(string(said), "shown once") {
		t.Errorf("the line of Mint: %v\n%s", err, said)
	}
	if len(cloud.events) != 1 || compact(t, cloud.events[0]) != `{"tare":"credential","do":"mint","name":"me","rights":"push"}` {
		t.Errorf("the line of Mint sends %s", cloud.events)
	}
	for _, name := range []string{"Registry", "Login", "Tag", "Push"} {
		if line := pasted(t, out, name); line != cloud.outputs[name] || !strings.Contains(line, "execute-api.eu-west-1.amazonaws.com") {
			t.Errorf("%s is %q, and %q in the table", name, cloud.outputs[name], line)
		}
	}

	// A setting is changed, and the others stay.
	sam.run(t, "y\n", "deploy", "--region", "eu-west-1", "--parameter-overrides", "Options=anonymous-pull=on,untagged-after=14d")
	want := map[string]string{
		"AlarmEmail": "(as before)", "RecoveryDays": "(as before)", "Protection": "(as before)", "ExistingTable": "(as before)",
		"Options": "anonymous-pull=on,untagged-after=14d",
	}
	if got := parameters(cloud.changes[1]); cloud.changes[1].Get("ChangeSetType") != "UPDATE" || !maps.Equal(got, want) {
		t.Errorf("an update asks for %v, want %v", got, want)
	}
}

// A guided deploy asks, and Return answers; the next one repeats it.
func deployByQuestions(t *testing.T, folder string) {
	cloud := newAccount(t)
	sam := samAgainst(t, cloud, new(bucket), folder)
	out := sam.run(t, strings.Repeat("\n", 13)+"y\n", "deploy", "--guided")
	if cloud.done != 1 || cloud.changes[0].Get("StackName") != "tare" {
		t.Fatalf("%d change sets were made, %d executed:\n%s", len(cloud.changes), cloud.done, out)
	}
	defaults := map[string]string{"AlarmEmail": "", "RecoveryDays": "0", "Protection": "false", "ExistingTable": "", "Options": ""}
	if got := parameters(cloud.changes[0]); !maps.Equal(got, defaults) {
		t.Errorf("it deploys %v, want the defaults", got)
	}
	sam.run(t, "y\n", "deploy")
	if cloud.done != 2 || !maps.Equal(parameters(cloud.changes[1]), defaults) {
		t.Errorf("the next deploy is another: %v", cloud.changes[1])
	}
}

// newAccount knows the template's parameters and outputs.
func newAccount(t *testing.T) *account {
	t.Helper()
	stack, err := template.Read(source)
	if err != nil {
		t.Fatal(err)
	}
	e := template.Evaluator{Stack: stack, Values: map[string]string{
		"AWS::StackName": "tare", "AWS::Region": "eu-west-1", "AWS::URLSuffix": "amazonaws.com", "HttpApi": "a1b2c3d4e5", "Options": "", "ExistingTable": "",
	}}
	outputs := map[string]string{}
	for _, name := range []string{"Registry", "Mint", "Login", "Tag", "Push"} {
		outputs[name] = e.Output(name)
	}
	return &account{parameters: slices.Sorted(maps.Keys(stack.Parameters)), outputs: outputs}
}

// pasted is an output as somebody copies it from the table that sam prints.
func pasted(t *testing.T, out, name string) string {
	t.Helper()
	_, rest, found := strings.Cut(out, "Key"+strings.Repeat(" ", 17)+name)
	_, rest, valued := strings.Cut(rest, "\nValue"+strings.Repeat(" ", 15))
	if !found || !valued {
		t.Fatalf("there is no output %s in:\n%s", name, out)
	}
	var lines []string
	for line := range strings.SplitSeq(rest, "\n") {
		if line = strings.TrimRight(line, " "); line == "" || strings.HasPrefix(line, "---") {
			break
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func compact(t *testing.T, event []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, event); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// sam is the program in a folder, with an account and a bucket that are here, and no other program in its path.
type sam struct {
	program, folder, home, account, bucket string
}

func samAgainst(t *testing.T, cloud *account, zips *bucket, folder string) sam {
	t.Helper()
	front, store := httptest.NewServer(cloud), httptest.NewServer(zips)
	t.Cleanup(front.Close)
	t.Cleanup(store.Close)
	return sam{filepath.Join(tools(t), "sam"), folder, t.TempDir(), front.URL, store.URL}
}

func (s sam) environment() []string {
	return []string{
		"PATH=/nowhere", "HOME=" + s.home, "SAM_CLI_TELEMETRY=0", "SAM_CLI_POLL_DELAY=0.01", "NO_COLOR=1", "LC_ALL=C.UTF-8", "COLUMNS=80",
		"AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret", "AWS_DEFAULT_REGION=eu-west-1", "AWS_REQUEST_CHECKSUM_CALCULATION=when_required",
		"AWS_ENDPOINT_URL_S3=" + s.bucket, "AWS_ENDPOINT_URL_CLOUDFORMATION=" + s.account, "AWS_ENDPOINT_URL_LAMBDA=" + s.account, "AWS_ENDPOINT_URL_STS=" + s.account,
	}
}

// run has sam do something, with input for its questions, and returns what it printed.
func (s sam) run(t *testing.T, input string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.program, args...)
	cmd.Dir, cmd.Stdin, cmd.Env = s.folder, strings.NewReader(input), s.environment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("sam %v: %v\n%s", args, err, out)
	}
	return string(out)
}
