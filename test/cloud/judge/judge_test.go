// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"tare/test/cloud/template"
)

const (
	tableARN = "arn:aws:dynamodb:us-east-1:123456789012:table/rows"
	nextARN  = "arn:aws:lambda:us-east-1:123456789012:function:next"
)

// stackOf makes a stack whose function f has these statements; the function next has none.
func stackOf(statements ...string) template.Stack {
	document := func(s ...string) []byte {
		return []byte(`{"Version":"2012-10-17","Statement":[` + strings.Join(s, ",") + `]}`)
	}
	return template.Stack{
		Functions: []template.Function{{ID: "F", Name: "f", Role: "R"}, {ID: "Next", Name: "next", ARN: nextARN, Role: "None"}},
		Roles: []template.Role{
			{ID: "R", ARN: "arn:aws:iam::123456789012:role/r", Policies: []template.Policy{{Name: "p", Document: document(statements...)}}},
			{ID: "None", ARN: "arn:aws:iam::123456789012:role/none"},
		},
		Buckets: []template.Bucket{{ID: "Bucket", Name: "bytes", Policy: document(`{"Sid":"OnlyTLS","Effect":"Deny","Principal":"*","Action":"s3:*",
			"Resource":["arn:aws:s3:::bytes","arn:aws:s3:::bytes/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}`,
			`{"Sid":"Kept","Effect":"Deny","Principal":"*","Action":"s3:DeleteObject","Resource":"arn:aws:s3:::bytes/kept*"}`)}},
	}
}

func allow(actions, resources string) string {
	return `{"Sid":"S","Effect":"Allow","Action":` + actions + `,"Resource":` + resources + `}`
}

// world is a judge in front of engines that answer everything with 200 or with a status of the test's.
type world struct {
	*Judge
	address struct{ s3, dynamo, lambda string }
	now     time.Time
	mu      sync.Mutex
	arrived []string // at the engines
	status  int
}

func newWorld(t *testing.T, statements ...string) *world {
	t.Helper()
	w := &world{now: time.Now(), status: 200}
	engine := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.arrived = append(w.arrived, r.Method+" "+r.URL.RequestURI())
		if !strings.Contains(r.Header.Get("Authorization"), "Credential=root/") || r.URL.Query().Has("X-Amz-Signature") || r.Header.Get("X-Amz-Security-Token") != "" {
			t.Errorf("not signed anew: %v %v", r.URL, r.Header)
		}
		rw.WriteHeader(w.status)
		if r.Header.Get("X-Amz-Target") != "" {
			_, _ = io.WriteString(rw, "{}")
		}
	})
	j, err := New(Config{Stack: stackOf(statements...), AccessKey: "root", SecretKey: "secret", Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	w.Judge = j
	lambda := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if err := j.Lambda(r, nextARN); err != nil {
			rw.Header().Set("X-Amzn-ErrorType", "AccessDeniedException")
			rw.WriteHeader(http.StatusForbidden)
		} else if body, err := io.ReadAll(r.Body); err != nil || string(body) != `{"a":1}` {
			t.Errorf("%q %v", body, err)
		}
	})
	for at, h := range map[*string]http.Handler{&w.address.s3: j.S3(engine), &w.address.dynamo: j.DynamoDB(engine), &w.address.lambda: lambda} {
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		*at = server.URL
	}
	return w
}

// credentials are those of a function, from the environment that it gets.
func (w *world) credentials(function string) aws.CredentialsProviderFunc {
	return func(context.Context) (aws.Credentials, error) {
		e := w.Credentials(function)
		return aws.Credentials{AccessKeyID: e["AWS_ACCESS_KEY_ID"], SecretAccessKey: e["AWS_SECRET_ACCESS_KEY"], SessionToken: e["AWS_SESSION_TOKEN"]}, nil
	}
}

func (w *world) s3() *s3.Client {
	return s3.New(s3.Options{Region: "us-east-1", Credentials: w.credentials("F"), BaseEndpoint: aws.String(w.address.s3), UsePathStyle: true, RetryMaxAttempts: 1})
}

func (w *world) dynamo() *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{Region: "us-east-1", Credentials: w.credentials("F"), BaseEndpoint: aws.String(w.address.dynamo), RetryMaxAttempts: 1})
}

// code is the code of an error of AWS.
func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

var bucket, key, id = aws.String("bytes"), aws.String("o1"), aws.String("u")

// s3Calls are the calls that our code makes, and the permission without which each must fail.
var s3Calls = map[string]struct {
	needs []string
	call  func(context.Context, *s3.Client) error
}{
	"GetObject": {[]string{"s3:GetObject"}, func(ctx context.Context, c *s3.Client) error {
		_, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key, Range: aws.String("bytes=0-1")})
		return err
	}},
	"HeadObject": {[]string{"s3:GetObject"}, func(ctx context.Context, c *s3.Client) error {
		_, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: key})
		return err
	}},
	"PutObject": {[]string{"s3:PutObject"}, func(ctx context.Context, c *s3.Client) error {
		_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader("x"), IfNoneMatch: aws.String("*")})
		return err
	}},
	"CreateMultipartUpload": {[]string{"s3:PutObject"}, func(ctx context.Context, c *s3.Client) error {
		_, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key})
		return err
	}},
	"UploadPart": {[]string{"s3:PutObject"}, func(ctx context.Context, c *s3.Client) error {
		_, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: key, UploadId: id, PartNumber: aws.Int32(1), Body: strings.NewReader("x")})
		return err
	}},
	"CompleteMultipartUpload": {[]string{"s3:PutObject"}, func(ctx context.Context, c *s3.Client) error {
		_, err := c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: key, UploadId: id})
		return err
	}},
	"AbortMultipartUpload": {[]string{"s3:AbortMultipartUpload"}, func(ctx context.Context, c *s3.Client) error {
		_, err := c.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: bucket, Key: key, UploadId: id})
		return err
	}},
	"ListParts": {[]string{"s3:ListMultipartUploadParts"}, func(ctx context.Context, c *s3.Client) error {
		_, err := c.ListParts(ctx, &s3.ListPartsInput{Bucket: bucket, Key: key, UploadId: id, MaxParts: aws.Int32(5), PartNumberMarker: aws.String("1")})
		return err
	}},
	"DeleteObject": {[]string{"s3:DeleteObject"}, func(ctx context.Context, c *s3.Client) error {
		_, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key})
		return err
	}},
	"DeleteObject if it has this ETag": {[]string{"s3:DeleteObject", "s3:GetObject"}, func(ctx context.Context, c *s3.Client) error {
		_, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key, IfMatch: aws.String(`"e"`)})
		return err
	}},
	"ListObjectsV2": {[]string{"s3:ListBucket"}, func(ctx context.Context, c *s3.Client) error {
		_, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket, Prefix: aws.String("o"), StartAfter: aws.String("o1")})
		return err
	}},
	"ListMultipartUploads": {[]string{"s3:ListBucketMultipartUploads"}, func(ctx context.Context, c *s3.Client) error {
		_, err := c.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: bucket, Prefix: aws.String("o")})
		return err
	}},
}

// Every call passes with what it needs, and fails as soon as one of it is missing.
func TestS3Needs(t *testing.T) {
	const everything = `["arn:aws:s3:::bytes","arn:aws:s3:::bytes/o*"]`
	all := []string{"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:ListBucket", "s3:ListBucketMultipartUploads"}
	quoted := func(actions []string) string { return `["` + strings.Join(actions, `","`) + `"]` }
	for name, c := range s3Calls {
		w := newWorld(t, allow(quoted(c.needs), everything))
		if err := c.call(t.Context(), w.s3()); err != nil || len(w.arrived) != 1 || len(w.Report().Refusals) != 0 || len(w.Report().Unused) > 1 {
			t.Errorf("%s with %v: %v, %+v", name, c.needs, err, w.Report())
		}
		for _, missing := range c.needs {
			w := newWorld(t, allow(quoted(slices.DeleteFunc(slices.Clone(all), func(a string) bool { return a == missing })), everything))
			err := c.call(t.Context(), w.s3())
			want := "AccessDenied"
			if name == "HeadObject" { // an answer to HEAD has no body
				want = "Forbidden"
			}
			if code(err) != want || len(w.arrived) != 0 || len(w.Report().Refusals) != 1 || w.Report().Refusals[0].Action != missing {
				t.Errorf("%s without %s: %v, %+v", name, missing, err, w.Report())
			}
		}
	}
}

func TestResources(t *testing.T) {
	w := newWorld(t, allow(`"s3:*"`, `"arn:aws:s3:::bytes/o*"`))
	if _, err := w.s3().GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: aws.String("secret")}); code(err) != "AccessDenied" {
		t.Error("a key beside the statement's:", err)
	}
	if _, err := w.s3().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: bucket}); code(err) != "AccessDenied" {
		t.Error("objects are not their bucket:", err)
	}
	w = newWorld(t, allow(`"s3:*"`, `"*"`))
	if _, err := w.s3().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: bucket, Key: aws.String("kept1")}); code(err) != "AccessDenied" ||
		!strings.Contains(err.Error(), "explicit deny") {
		t.Error("the bucket's policy denies:", err)
	}
}

// Without ListBucket S3 does not tell what is not there.
func TestAbsence(t *testing.T) {
	w := newWorld(t, allow(`"s3:GetObject"`, `"*"`))
	w.status = http.StatusNotFound
	if err := s3Calls["GetObject"].call(t.Context(), w.s3()); code(err) != "AccessDenied" {
		t.Error(err)
	}
	if err := s3Calls["HeadObject"].call(t.Context(), w.s3()); code(err) != "Forbidden" {
		t.Error(err)
	}
	w = newWorld(t, allow(`["s3:GetObject","s3:ListBucket"]`, `"*"`))
	w.status = http.StatusNotFound
	if err := s3Calls["HeadObject"].call(t.Context(), w.s3()); code(err) != "NotFound" || len(w.Report().Unused) != 0 {
		t.Error(err, w.Report())
	}
}

func TestUnknownCalls(t *testing.T) {
	w := newWorld(t, allow(`["s3:*","dynamodb:*"]`, `"*"`))
	_, copied := w.s3().CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: bucket, Key: key, CopySource: aws.String("bytes/o2")})
	_, acl := w.s3().GetObjectAcl(t.Context(), &s3.GetObjectAclInput{Bucket: bucket, Key: key})
	_, other := w.s3().GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("other"), Key: key})
	_, table := w.dynamo().DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: aws.String("rows")})
	for _, err := range []error{copied, acl, other} {
		if code(err) != "NotImplemented" {
			t.Error(err)
		}
	}
	if code(table) != "UnknownOperationException" || len(w.arrived) != 0 || len(w.Report().Refusals) != 4 {
		t.Error(table, w.arrived, w.Report())
	}
}

func TestDynamoDBNeeds(t *testing.T) {
	rows := aws.String("rows")
	row := map[string]dynamotypes.AttributeValue{"pk": &dynamotypes.AttributeValueMemberS{Value: "a"}}
	transaction := &dynamodb.TransactWriteItemsInput{TransactItems: []dynamotypes.TransactWriteItem{
		{Put: &dynamotypes.Put{TableName: rows, Item: row}}, {Update: &dynamotypes.Update{TableName: rows, Key: row, UpdateExpression: aws.String("x")}},
		{Delete: &dynamotypes.Delete{TableName: rows, Key: row}},
		{ConditionCheck: &dynamotypes.ConditionCheck{TableName: rows, Key: row, ConditionExpression: aws.String("x")}},
	}}
	for name, c := range map[string]struct {
		needs []string
		call  func(*dynamodb.Client) error
	}{
		"GetItem": {[]string{"GetItem"}, func(d *dynamodb.Client) error {
			_, err := d.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: rows, Key: row})
			return err
		}},
		"BatchGetItem": {[]string{"BatchGetItem"}, func(d *dynamodb.Client) error {
			_, err := d.BatchGetItem(t.Context(), &dynamodb.BatchGetItemInput{RequestItems: map[string]dynamotypes.KeysAndAttributes{
				"rows": {Keys: []map[string]dynamotypes.AttributeValue{row}}}})
			return err
		}},
		"a transaction": {[]string{"PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem"}, func(d *dynamodb.Client) error {
			_, err := d.TransactWriteItems(t.Context(), transaction)
			return err
		}},
		"Scan": {[]string{"Scan"}, func(d *dynamodb.Client) error {
			_, err := d.Scan(t.Context(), &dynamodb.ScanInput{TableName: rows})
			return err
		}},
	} {
		all := []string{"GetItem", "BatchGetItem", "PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem", "Query", "Scan"}
		quoted := func(actions []string) string { return `["dynamodb:` + strings.Join(actions, `","dynamodb:`) + `"]` }
		w := newWorld(t, allow(quoted(c.needs), `"`+tableARN+`"`))
		if err := c.call(w.dynamo()); err != nil || len(w.Report().Unused) != 0 {
			t.Errorf("%s: %v, %+v", name, err, w.Report())
		}
		for _, missing := range c.needs {
			w := newWorld(t, allow(quoted(slices.DeleteFunc(slices.Clone(all), func(a string) bool { return a == missing })), `"`+tableARN+`"`))
			if err := c.call(w.dynamo()); code(err) != "AccessDeniedException" || len(w.arrived) != 0 || w.Report().Refusals[0].Action != "dynamodb:"+missing {
				t.Errorf("%s without %s: %v", name, missing, err)
			}
		}
	}
}

// A table's permission is not that of its index.
func TestIndex(t *testing.T) {
	query := func(w *world, index *string) error {
		_, err := w.dynamo().Query(t.Context(), &dynamodb.QueryInput{TableName: aws.String("rows"), IndexName: index, KeyConditionExpression: aws.String("x")})
		return err
	}
	w := newWorld(t, allow(`"dynamodb:Query"`, `"`+tableARN+`"`))
	if err := query(w, aws.String("due")); code(err) != "AccessDeniedException" {
		t.Error(err)
	}
	if err := query(w, nil); err != nil {
		t.Error(err)
	}
	w = newWorld(t, allow(`"dynamodb:Query"`, `"`+tableARN+`/index/due"`))
	if err := query(w, nil); code(err) != "AccessDeniedException" {
		t.Error(err)
	}
	if err := query(w, aws.String("due")); err != nil {
		t.Error(err)
	}
}

func TestInvoke(t *testing.T) {
	for _, name := range []string{"next", nextARN} {
		for statement, want := range map[string]string{allow(`"lambda:InvokeFunction"`, `"`+nextARN+`"`): "", allow(`"s3:*"`, `"*"`): "AccessDeniedException"} {
			w := newWorld(t, statement)
			c := lambda.New(lambda.Options{Region: "us-east-1", Credentials: w.credentials("F"), BaseEndpoint: aws.String(w.address.lambda), RetryMaxAttempts: 1})
			_, err := c.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String(name), InvocationType: lambdatypes.InvocationTypeEvent, Payload: []byte(`{"a":1}`)})
			if code(err) != want {
				t.Errorf("%s: %v; want %q", name, err, want)
			}
		}
	}
}

func TestAsk(t *testing.T) {
	w := newWorld(t, allow(`"logs:PutLogEvents"`, `"arn:aws:logs:us-east-1:123456789012:log-group:g:*"`))
	if err := w.Ask("F", "logs:PutLogEvents", "arn:aws:logs:us-east-1:123456789012:log-group:g:log-stream:s"); err != nil {
		t.Error(err)
	}
	for _, c := range [][3]string{{"F", "logs:CreateLogGroup", "arn:aws:logs:us-east-1:123456789012:log-group:g:x"}, {"Next", "logs:PutLogEvents", "arn:aws:logs:us-east-1:123456789012:log-group:g:s"}, {"Nobody", "s3:GetObject", "x"}} {
		if err := w.Ask(c[0], c[1], c[2]); !errors.Is(err, errRefused) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

func TestUnused(t *testing.T) {
	w := newWorld(t, allow(`["s3:GetObject","s3:PutObject"]`, `["arn:aws:s3:::bytes/o*","arn:aws:s3:::bytes/p*"]`))
	if err := s3Calls["GetObject"].call(t.Context(), w.s3()); err != nil {
		t.Fatal(err)
	}
	report := w.Report()
	if want := []string{"R/p/S: arn:aws:s3:::bytes/p*", "R/p/S: s3:PutObject"}; !slices.Equal(report.Unused, want) || report.Calls["F GetObject"] != 1 {
		t.Errorf("%+v", report)
	}
	var text bytes.Buffer
	report.Print(&text)
	if !strings.Contains(text.String(), "never used: R/p/S: s3:PutObject") {
		t.Error(text.String())
	}
}

func TestUnknownKey(t *testing.T) {
	_, err := New(Config{Stack: stackOf(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o"}}}`)})
	if err == nil || !strings.Contains(err.Error(), "aws:principalorgid") {
		t.Error(err)
	}
}

// presigned signs a PUT of "body" with its SHA-256 for a client.
func presigned(t *testing.T, w *world, life time.Duration) (*http.Request, string) {
	t.Helper()
	sum := sha256.Sum256([]byte("body"))
	checksum := base64.StdEncoding.EncodeToString(sum[:])
	signed, err := s3.NewPresignClient(w.s3()).PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: key, ChecksumSHA256: &checksum, ContentLength: aws.Int64(4)},
		s3.WithPresignExpires(life))
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), signed.Method, signed.URL, strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range signed.SignedHeader {
		if name != "Host" && name != "Content-Length" {
			r.Header[name] = v
		}
	}
	return r, checksum
}

// A presigned request is its signer's, for as long as it lives.
func TestPresigned(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *world, r *http.Request)
		want   int
		code   string
	}{
		"as it was signed": {func(*world, *http.Request) {}, 200, ""},
		"another key":      {func(_ *world, r *http.Request) { r.URL.Path = "/bytes/o2" }, 403, "SignatureDoesNotMatch"},
		"another method":   {func(_ *world, r *http.Request) { r.Method = "DELETE" }, 403, "SignatureDoesNotMatch"},
		"another query":    {func(_ *world, r *http.Request) { r.URL.RawQuery += "&digest=x" }, 403, "SignatureDoesNotMatch"},
		"another length": {func(_ *world, r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("bodies")), 6
		}, 403, "SignatureDoesNotMatch"},
		"another checksum": {func(_ *world, r *http.Request) { r.Header.Set("X-Amz-Checksum-Sha256", "x") }, 403, "SignatureDoesNotMatch"},
		"without checksum": {func(_ *world, r *http.Request) { r.Header.Del("X-Amz-Checksum-Sha256") }, 403, "SignatureDoesNotMatch"},
		"a header more":    {func(_ *world, r *http.Request) { r.Header.Set("X-Amz-Storage-Class", "GLACIER") }, 403, "AccessDenied"},
		"another key pair": {func(_ *world, r *http.Request) { r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "ASIA", "AKIA", 1) }, 403, "InvalidAccessKeyId"},
		"without its token": {func(_ *world, r *http.Request) {
			r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "Security-Token=", "Security-Token=0", 1)
		}, 403, "SignatureDoesNotMatch"},
		"too late":     {func(w *world, _ *http.Request) { w.now = w.now.Add(5*time.Minute + time.Second) }, 403, "Request has expired"},
		"just in time": {func(w *world, _ *http.Request) { w.now = w.now.Add(5*time.Minute - 2*time.Second) }, 200, ""},
	} {
		w := newWorld(t, allow(`"s3:PutObject"`, `"arn:aws:s3:::bytes/o*"`))
		r, _ := presigned(t, w, 5*time.Minute)
		c.change(w, r)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(name, err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.want || !strings.Contains(string(body), c.code) || (len(w.arrived) == 1) != (c.want == 200) {
			t.Errorf("%s: %d %s; want %d %s", name, resp.StatusCode, body, c.want, c.code)
		}
	}
	w := newWorld(t, allow(`"s3:GetObject"`, `"*"`))
	r, _ := presigned(t, w, time.Minute)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 403 || w.Report().Refusals[0].Action != "s3:PutObject" {
		t.Errorf("the signer may not put, and so may not who holds its signature: %d %+v", resp.StatusCode, w.Report())
	}
}

// A clock that is wrong, and a key that is nobody's.
func TestSignatures(t *testing.T) {
	w := newWorld(t, allow(`["s3:*","dynamodb:*"]`, `"*"`))
	w.now = w.now.Add(16 * time.Minute)
	if err := s3Calls["PutObject"].call(t.Context(), w.s3()); code(err) != "RequestTimeTooSkewed" {
		t.Error(err)
	}
	w = newWorld(t, allow(`["s3:*","dynamodb:*"]`, `"*"`))
	c := w.s3()
	if err := s3Calls["PutObject"].call(t.Context(), s3.New(c.Options(), func(o *s3.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: w.Credentials("F")["AWS_ACCESS_KEY_ID"], SecretAccessKey: "guessed"}, nil
		})
	})); code(err) != "SignatureDoesNotMatch" {
		t.Error(err)
	}
	resp, err := http.Get(w.address.s3 + "/bytes/o1")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 403 {
		t.Error("without a signature:", resp.Status)
	}
	deploys := s3.New(c.Options(), func(o *s3.Options) { o.Credentials = w.credentials(deployer) })
	if err := s3Calls["DeleteObject"].call(t.Context(), deploys); err != nil || len(w.arrived) != 1 {
		t.Error(err, w.arrived)
	}
	w.arrived = nil
	if w.Credentials("R") != nil || w.Credentials("Nobody") != nil {
		t.Error("credentials for what is no function")
	}
	if _, err := w.dynamo().ListTables(t.Context(), &dynamodb.ListTablesInput{}); code(err) != "UnknownOperationException" {
		t.Error(err)
	}
	if len(w.arrived) != 0 {
		t.Error(w.arrived)
	}
}

// What AWS does for the template's own stack is permitted there; without one of the statements it is not.
func TestServices(t *testing.T) {
	for _, c := range []struct {
		change func(*template.Stack)
		want   string
	}{
		{func(*template.Stack) {}, ""},
		{func(s *template.Stack) { s.Permissions = s.Permissions[:1] }, "amazonaws.com lambda:InvokeFunction"},
		{func(s *template.Stack) { s.Functions[0].LogGroup = "another" }, "Api logs:CreateLogStream"},
		{func(s *template.Stack) { s.Schedules[0].Role = "ApiRole" }, "sqs:SendMessage"},
		{func(s *template.Stack) { s.Functions[2].Invoke.OnFailure = "arn:aws:sqs:us-east-1:123456789012:other" }, "Gc sqs:SendMessage"},
		{func(s *template.Stack) {
			s.Functions[2].Invoke.OnFailure = "arn:aws:kinesis:us-east-1:123456789012:other"
		}, "not known here"},
	} {
		f, err := os.Open("../template/testdata/expanded.json")
		if err != nil {
			t.Fatal(err)
		}
		stack, err := template.Read(f, template.Setting{})
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		c.change(&stack)
		j, err := New(Config{Stack: stack})
		if err != nil {
			t.Fatal(err)
		}
		err = j.Services()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v; want %q", err, c.want)
		}
	}
}
