// SPDX-License-Identifier: Apache-2.0

package template

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// sample is a template as aws-sam-translator expanded it.
func sample(t *testing.T, s Setting) Stack {
	t.Helper()
	f, err := os.Open("testdata/expanded.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stack, err := Read(f, s)
	if err != nil {
		t.Fatal(err)
	}
	return stack
}

func TestRead(t *testing.T) {
	stack := sample(t, Setting{Names: map[string]string{"Bucket": "bytes", "Table": "rows"}})
	if len(stack.Functions) != 3 {
		t.Fatalf("%d functions", len(stack.Functions))
	}
	api, finalize, gc := stack.Functions[0], stack.Functions[1], stack.Functions[2]
	if api.ID != "Api" || api.Role != "ApiRole" || api.Memory != 512 || api.Environment["TARE_TABLE"] != "rows" ||
		api.Environment["TARE_BUCKET"] != "bytes" || api.Environment["TARE_FINALIZE"] != finalize.ARN || api.LogGroup != stack.Logs[0].Name {
		t.Errorf("%+v", api)
	}
	if !strings.HasPrefix(finalize.ARN, "arn:aws:lambda:us-east-1:123456789012:function:tare-Finalize-") || finalize.Timeout != 15*time.Minute ||
		finalize.Invoke.Retries != 2 || finalize.Invoke.Age != 6*time.Hour || !strings.Contains(finalize.Invoke.OnFailure, ":sqs:") {
		t.Errorf("%+v", finalize)
	}
	if gc.Invoke.Retries != 0 || gc.Environment["TARE_SWEEP"] != "on" {
		t.Errorf("%+v", gc)
	}
	if len(stack.Routes) != 1 || stack.Routes[0] != (Route{"$default", "Api", 30 * time.Second}) {
		t.Errorf("%+v", stack.Routes)
	}
	if len(stack.Rules) != 1 || stack.Rules[0].Function != "Finalize" || stack.Rules[0].Dead != finalize.Invoke.OnFailure ||
		!strings.Contains(string(stack.Rules[0].Pattern), `"name":["bytes"]`) {
		t.Errorf("%+v", stack.Rules)
	}
	if len(stack.Schedules) != 1 || !stack.Schedules[0].Enabled || stack.Schedules[0].Role != "SweepRole" || stack.Schedules[0].Retries != 0 ||
		stack.Schedules[0].Input != `{"tare":"sweep"}` || stack.Schedules[0].Expression != "rate(1 hour)" {
		t.Errorf("%+v", stack.Schedules)
	}
	if b := stack.Buckets[0]; b.Name != "bytes" || !b.EventBridge || b.Versioned || b.AbortDays != 3 || !strings.Contains(string(b.Policy), "aws:SecureTransport") {
		t.Errorf("%+v", b)
	}
	table := stack.Tables[0]
	if table.Name != "rows" || table.HashKey != "pk" || !reflect.DeepEqual(table.IndexKeys, map[string]string{"due": "shard"}) {
		t.Errorf("%+v", table)
	}
	var definition map[string]any
	if err := json.Unmarshal(table.Definition, &definition); err != nil || definition["TableName"] != "rows" ||
		definition["PointInTimeRecoverySpecification"] != nil || definition["GlobalSecondaryIndexes"] == nil {
		t.Errorf("%v %s", err, table.Definition)
	}
	if len(stack.Permissions) != 2 || len(stack.Stages) != 1 || stack.Stages[0].API != "HttpApi" {
		t.Errorf("%+v %+v", stack.Permissions, stack.Stages)
	}
	if !strings.Contains(stack.Outputs["Login"], ".execute-api.us-east-1.amazonaws.com") || stack.Outputs["DomainTarget"] != "" {
		t.Errorf("%v", stack.Outputs)
	}
}

func TestParameters(t *testing.T) {
	stack := sample(t, Setting{Stack: "other", Parameters: map[string]string{
		"ExistingTable": "restored", "RecoveryDays": "7", "Options": "anonymous-pull=on,untagged-after=14d",
	}})
	if len(stack.Tables) != 0 || stack.Functions[0].Environment["TARE_TABLE"] != "restored" {
		t.Error("an adopted table takes the place of the stack's own")
	}
	if !stack.Buckets[0].Versioned {
		t.Error("RecoveryDays turns versions on")
	}
	if e := stack.Functions[0].Environment; e["TARE_ANONYMOUS_PULL"] != "on" {
		t.Errorf("%v", e)
	}
	if e := stack.Functions[2].Environment; e["TARE_SWEEP"] != "off" || e["TARE_UNTAGGED_AFTER"] != "14d" {
		t.Errorf("%v", e)
	}
}

// within gives a template with one function, and a value as its name.
func within(value, rest string) string {
	return `{"Conditions":{"Yes":{"Fn::Equals":["a","a"]},"No":{"Fn::Not":[{"Condition":"Yes"}]},
	"Both":{"Fn::And":[{"Condition":"Yes"},{"Condition":"No"}]},"One":{"Fn::Or":[{"Condition":"Both"},{"Condition":"Yes"}]}},
	"Parameters":{"P":{"Type":"String","Default":"p"},"N":{"Type":"Number","Default":7}},
	"Mappings":{"M":{"us-east-1":{"x":"mapped"}}},
	"Resources":{"L":{"Type":"AWS::Logs::LogGroup","Properties":{"LogGroupName":` + value + `}}` + rest + `}}`
}

func TestIntrinsics(t *testing.T) {
	for _, c := range []struct{ value, want string }{
		{`"plain"`, "plain"},
		{`{"Ref":"P"}`, "p"},
		{`{"Ref":"AWS::Region"}`, "us-east-1"},
		{`{"Fn::Sub":"${P}-${N}-${AWS::AccountId}-${!P}"}`, "p-7-123456789012-${P}"},
		{`{"Fn::Sub":["${P}-${Q}",{"Q":{"Ref":"N"},"P":"own"}]}`, "own-7"},
		{`{"Fn::Sub":"${B.Arn}/x"}`, "arn:aws:s3:::named/x"},
		{`{"Fn::GetAtt":["B","Arn"]}`, "arn:aws:s3:::named"},
		{`{"Fn::GetAtt":"B.Arn"}`, "arn:aws:s3:::named"},
		{`{"Fn::Join":["-",["a",{"Ref":"P"},{"Ref":"AWS::NoValue"}]]}`, "a-p"},
		{`{"Fn::If":["Both","both",{"Fn::If":["One","one","none"]}]}`, "one"},
		{`{"Fn::Select":[1,["a","b"]]}`, "b"},
		{`{"Fn::Select":["0",{"Fn::Split":[",",{"Fn::Sub":"${P},x"}]}]}`, "p"},
		{`{"Fn::FindInMap":["M",{"Ref":"AWS::Region"},"x"]}`, "mapped"},
	} {
		stack, err := Read(strings.NewReader(within(c.value, `,"B":{"Type":"AWS::S3::Bucket","Properties":{"BucketName":"named"}}`)), Setting{})
		if err != nil || stack.Logs[0].Name != c.want {
			t.Errorf("%s: %v, %v; want %s", c.value, stack.Logs, err, c.want)
		}
	}
}

func TestRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"function":  {within(`{"Fn::Base64":"x"}`, ""), "Fn::Base64 is a function that is not known"},
		"transform": {`{"Transform":"AWS::Serverless-2016-10-31","Resources":{"A":{}}}`, "must be expanded"},
		"reference": {within(`{"Ref":"Nobody"}`, ""), `no parameter or resource "Nobody"`},
		"dangling elsewhere": {within(`"x"`, `,"A":{"Type":"AWS::CloudWatch::Alarm","Properties":{"AlarmActions":[{"Ref":"Nobody"}]}}`),
			`A (AWS::CloudWatch::Alarm)`},
		"type":      {within(`{"Ref":"K"}`, `,"K":{"Type":"AWS::KMS::Key"}`), "not known here"},
		"attribute": {within(`{"Fn::GetAtt":["B","WebsiteURL"]}`, `,"B":{"Type":"AWS::S3::Bucket"}`), "no attribute WebsiteURL"},
		"cycle": {within(`{"Ref":"B"}`, `,"B":{"Type":"AWS::S3::Bucket","Properties":{"BucketName":{"Ref":"L"}}}`),
			"is there a cycle"},
		"condition":               {within(`{"Fn::If":["Never","a","b"]}`, ""), `no condition "Never"`},
		"absent by its condition": {within(`{"Ref":"B"}`, `,"B":{"Type":"AWS::S3::Bucket","Condition":"No"}`), `no parameter or resource "B"`},
		"managed policy": {within(`"x"`, `,"R":{"Type":"AWS::IAM::Role","Properties":{"ManagedPolicyArns":["arn:aws:iam::aws:policy/AdministratorAccess"]}}`),
			"is not in the template"},
		"property of a table": {within(`"x"`, `,"T":{"Type":"AWS::DynamoDB::Table","Properties":{"StreamSpecification":{}}}`), "StreamSpecification is not known"},
		"routes in a body":    {within(`"x"`, `,"A":{"Type":"AWS::ApiGatewayV2::Api","Properties":{"ProtocolType":"HTTP","Body":{}}}`), "resources of their own"},
		"nothing":             {`{}`, "no resources"},
		"no JSON":             {`AWSTemplateFormatVersion: x`, "no JSON"},
	} {
		if _, err := Read(strings.NewReader(c.text), Setting{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
	if _, err := Read(strings.NewReader(within(`"x"`, "")), Setting{Parameters: map[string]string{"Q": "1"}}); err == nil {
		t.Error("a parameter that the template has not")
	}
}
