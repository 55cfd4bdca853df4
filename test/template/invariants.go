// SPDX-License-Identifier: Apache-2.0

package template

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	serverless = "AWS::Serverless::Function"
	classic    = "AWS::Lambda::Function"
	alarm      = "AWS::CloudWatch::Alarm"
)

// Check tells all that must not be in a template, a line each. doors says which variables each function reads.
func Check(t Template, doors map[string][]string, before Released) []string {
	var found []string
	for _, check := range []func(Template) []string{parameters, wildcards, functions, doorsAreShut, logs, bucket, kept, generatedNames, alarms, failures, events} {
		found = append(found, check(t)...)
	}
	found = append(found, environments(t, doors)...)
	return append(found, before.compare(t)...)
}

// ids are the logical ids of the resources of some types, in order.
func (t Template) ids(types ...string) []string {
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(t.Resources)) {
		if slices.Contains(types, t.Resources[id].Type) {
			ids = append(ids, id)
		}
	}
	return ids
}

// parameters are five at most, since a guided deploy asks for each, and a deploy that answers none must do.
func parameters(t Template) (found []string) {
	if len(t.Parameters) > 5 {
		found = append(found, fmt.Sprintf("%d parameters are more than 5", len(t.Parameters)))
	}
	for _, name := range slices.Sorted(maps.Keys(t.Parameters)) {
		if at(t.Parameters[name], "Default") == nil || word(t.Parameters[name], "Description") == "" {
			found = append(found, "parameter "+name+" has no default or no description")
		}
	}
	return found
}

// kept: who takes the stack away, or replaces a resource by a slip, keeps the data.
func kept(t Template) (found []string) {
	for _, id := range t.ids("AWS::DynamoDB::Table", "AWS::S3::Bucket") {
		r := t.Resources[id]
		if r.DeletionPolicy != "Retain" && r.DeletionPolicy != "RetainExceptOnCreate" || r.UpdateReplacePolicy != "Retain" {
			found = append(found, id+" is not retained")
		}
	}
	for _, id := range t.ids("AWS::DynamoDB::Table") {
		r := t.Resources[id]
		if word(r.Properties, "BillingMode") != "PAY_PER_REQUEST" {
			found = append(found, id+" costs money while nobody calls")
		}
		if word(r.Properties, "PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled") != "true" {
			found = append(found, id+" cannot be restored")
		}
		if at(r.Properties, "DeletionProtectionEnabled", "Ref") != "Protection" {
			found = append(found, id+" does not obey the parameter Protection")
		}
	}
	return found
}

// generatedNames: two stacks fit in a Region, and what a stack left behind is in nobody's way.
func generatedNames(t Template) (found []string) {
	names := []string{"TableName", "BucketName", "FunctionName", "RoleName", "LogGroupName", "QueueName", "TopicName", "AlarmName", "DashboardName"}
	owners := map[string]string{"AWS::Lambda::Permission": "FunctionName", "AWS::Lambda::EventInvokeConfig": "FunctionName", "AWS::Logs::MetricFilter": "LogGroupName"}
	for _, id := range slices.Sorted(maps.Keys(t.Resources)) {
		r := t.Resources[id]
		for _, name := range names {
			if r.Properties[name] != nil && owners[r.Type] != name {
				found = append(found, id+" has a "+name+" of its own")
			}
		}
		if (r.Type == "AWS::Scheduler::Schedule" || r.Type == "AWS::Events::Rule") && r.Properties["Name"] != nil {
			found = append(found, id+" has a Name of its own")
		}
		for name, event := range table(r.Properties, "Events") {
			if word(event, "Type") == "ScheduleV2" && word(event, "Properties", "OmitName") != "true" {
				found = append(found, id+"."+name+" is named after its logical id")
			}
		}
	}
	return found
}

// alarms: each function has one on its errors. What costs money while nothing happens hangs on a condition.
func alarms(t Template) (found []string) {
	watched := map[string]bool{}
	for _, id := range t.ids(alarm) {
		p := t.Resources[id].Properties
		if word(p, "MetricName") == "Errors" && word(p, "Namespace") == "AWS/Lambda" && len(list(p, "AlarmActions")) > 0 {
			for _, dimension := range list(p, "Dimensions") {
				watched[target(at(dimension, "Value"))] = true
			}
		}
	}
	for _, id := range t.ids(serverless, classic) {
		if !watched[id] {
			found = append(found, id+" has no alarm on its errors")
		}
	}
	for _, id := range t.ids(alarm, "AWS::CloudWatch::Dashboard", "AWS::Logs::MetricFilter") {
		if t.Resources[id].Condition == "" {
			found = append(found, id+" costs money in an idle stack")
		}
	}
	return found
}

// events: what the bucket tells must reach finalize for what was put together of parts, and for nothing else.
func events(t Template) (found []string) {
	for id, pattern := range t.patterns() {
		text, _ := json.Marshal(pattern)
		want := `{"detail":{"bucket":{"name":[{"Ref":"Bucket"}]},"object":{"key":[{"prefix":"o"}]},"reason":["CompleteMultipartUpload"]},` +
			`"detail-type":["Object Created"],"source":["aws.s3"]}`
		if string(text) != want {
			found = append(found, fmt.Sprintf("%s hears of %s, not of %s", id, text, want))
		}
	}
	if len(t.patterns()) == 0 {
		found = append(found, "nothing hears of the bucket's events")
	}
	for _, id := range t.ids(serverless) {
		for name, event := range table(t.Resources[id].Properties, "Events") {
			if kind := word(event, "Type"); kind == "HttpApi" || kind == "Api" {
				found = append(found, id+"."+name+" makes a guided deploy ask whether it may be open")
			}
		}
	}
	return found
}

// patterns are the patterns of all rules, those that are events of SAM's functions included.
func (t Template) patterns() map[string]any {
	all := map[string]any{}
	for id, r := range t.Resources {
		if r.Type == "AWS::Events::Rule" {
			all[id] = at(r.Properties, "EventPattern")
		}
		for name, event := range table(r.Properties, "Events") {
			if word(event, "Type") == "EventBridgeRule" {
				all[id+name] = at(event, "Properties", "Pattern")
			}
		}
	}
	return all
}

// failures: an event that is not handled lies in a queue. A dead-letter queue has what did not reach the function; what the
// function failed at goes to its failure destination, which the queue never sees.
func failures(t Template) (found []string) {
	for _, id := range t.ids(serverless, classic) {
		p := t.Resources[id].Properties
		for name, event := range table(p, "Events") {
			if at(event, "Properties", "DeadLetterConfig", "Arn") == nil {
				found = append(found, id+"."+name+" has no dead-letter queue")
			}
		}
		config := at(p, "EventInvokeConfig")
		if expanded, is := t.Resources[id+"EventInvokeConfig"]; is {
			config = expanded.Properties
		}
		called := len(table(p, "Events")) > 0 || t.invoked(id)
		if called && at(config, "DestinationConfig", "OnFailure", "Destination") == nil {
			found = append(found, id+" has no failure destination")
		}
	}
	for _, id := range t.ids("AWS::Events::Rule", "AWS::Scheduler::Schedule") {
		p := t.Resources[id].Properties
		for _, goal := range append(list(p, "Targets"), list(p, "Target")...) {
			if at(goal, "DeadLetterConfig", "Arn") == nil {
				found = append(found, id+" has no dead-letter queue")
			}
		}
	}
	return found
}

// invoked tells whether a rule or a schedule has the function as its target.
func (t Template) invoked(function string) bool {
	for _, id := range t.ids("AWS::Events::Rule", "AWS::Scheduler::Schedule") {
		p := t.Resources[id].Properties
		for _, goal := range append(list(p, "Targets"), list(p, "Target")...) {
			if target(at(goal, "Arn")) == function {
				return true
			}
		}
	}
	return false
}

// environments: a function has the variables that its door reads, and no other.
func environments(t Template, doors map[string][]string) (found []string) {
	for _, id := range t.ids(serverless, classic) {
		set := slices.Sorted(maps.Keys(table(t.Resources[id].Properties, "Environment", "Variables")))
		read, known := doors[strings.ToLower(id)]
		if !known {
			found = append(found, id+" has no door in functions")
			continue
		}
		for _, name := range read {
			if !slices.Contains(set, name) {
				found = append(found, id+" reads "+name+", which is not set")
			}
		}
		for _, name := range set {
			if !slices.Contains(read, name) {
				found = append(found, id+" has "+name+", which it does not read")
			}
		}
	}
	return found
}
