// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tare/test/cloud/events"
	"tare/test/cloud/template"
	"tare/test/standin"
)

// programs are the stand-ins. Without them the test is skipped, and fails where CI is set.
func programs(t *testing.T) (dynamoDB, s3 string) {
	t.Helper()
	dynamoDB, s3 = os.Getenv("TARE_DYNOXIDE"), os.Getenv("TARE_VERSITYGW")
	if dynamoDB == "" || s3 == "" {
		standin.Lacking(t, "TARE_DYNOXIDE and TARE_VERSITYGW name no programs")
	}
	return dynamoDB, s3
}

func expanded(t *testing.T) template.Stack {
	t.Helper()
	file, err := os.Open("../template/testdata/expanded.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	stack, err := template.Read(file, template.Setting{Account: Account, Region: standin.Region})
	if err != nil {
		t.Fatal(err)
	}
	return stack
}

// TestDeploy deploys the template with functions that write down their events: what is asked of each door comes in by the
// way that the template says, with the variables that it sets.
func TestDeploy(t *testing.T) {
	dynamoDB, s3 := programs(t)
	folder := t.TempDir()
	log := filepath.Join(folder, "events")
	for _, name := range []string{"api", "finalize", "gc"} {
		out, err := exec.Command("go", "build", "-o", filepath.Join(folder, name, "bootstrap"), "./testdata/function").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	d, err := Start(t.Context(), expanded(t), Options{
		Bootstraps: folder, DynamoDB: dynamoDB, S3: s3, Data: t.TempDir(), Interval: 20 * time.Millisecond,
		Weather: events.Weather{Seed: 1, Delay: time.Millisecond}, Environment: map[string]string{"EVENTS": log},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	until := func(expression string) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			b, err := os.ReadFile(log)
			if err == nil && regexp.MustCompile(expression).Match(b) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("no event like %s in\n%s", expression, b)
			}
		}
	}
	c, err := d.Mint(t.Context(), "first", "push")
	if err != nil || c.Name != "first" || c.Token != "secret" {
		t.Errorf("minted %v, %v", c, err)
	}
	until(`"rights":"push"`)
	until(`\{"tare":"sweep"\}`)
	checkVariables(t, d)
	bucket := d.stack.Buckets[0].Name
	put(t, d, bucket, "odirect")
	complete(t, d, bucket, "omultipart")
	until(`(?m)^tare-Finalize.*"key":"omultipart".*"reason":"CompleteMultipartUpload"`)
	if b, err := os.ReadFile(log); err != nil || bytes.Contains(b, []byte(`"key":"odirect"`)) {
		t.Errorf("a single put reached a function: %v", err)
	}
}

// checkVariables asks the function api by the HTTP API what it finds in its environment.
func checkVariables(t *testing.T, d *Deployment) {
	t.Helper()
	response, err := http.Get(d.URL + "/v2/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var environment []string
	if err := json.NewDecoder(response.Body).Decode(&environment); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(environment, "\n")
	for _, want := range []string{
		"TARE_TABLE=" + d.stack.Tables[0].Name, "TARE_BUCKET=" + d.stack.Buckets[0].Name, "AWS_ENDPOINT_URL_S3=http://127.",
		"AWS_ENDPOINT_URL_DYNAMODB=http://127.", "AWS_ENDPOINT_URL_LAMBDA=http://127.", "AWS_SECRET_ACCESS_KEY=",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("the function has no %s", want)
		}
	}
}

// object sends a signed request about an object through what stands before the bucket.
func object(t *testing.T, d *Deployment, method, path, body string) string {
	t.Helper()
	r, err := http.NewRequest(method, d.endpoints["AWS_ENDPOINT_URL_S3"]+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := sign(t.Context(), r, []byte(body), "s3", owner); err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s %s %v", method, path, response.Status, answer, err)
	}
	return response.Header.Get("ETag") + string(answer)
}

func put(t *testing.T, d *Deployment, bucket, key string) {
	t.Helper()
	object(t, d, "PUT", "/"+bucket+"/"+key, "whole")
}

func complete(t *testing.T, d *Deployment, bucket, key string) {
	t.Helper()
	path := "/" + bucket + "/" + key
	id := regexp.MustCompile(`<UploadId>([^<]+)`).FindStringSubmatch(object(t, d, "POST", path+"?uploads=", ""))
	if id == nil {
		t.Fatal("no upload id")
	}
	etag := object(t, d, "PUT", path+"?partNumber=1&uploadId="+id[1], "part")
	object(t, d, "POST", path+"?uploadId="+id[1],
		fmt.Sprintf("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>%s</ETag></Part></CompleteMultipartUpload>", etag))
}
