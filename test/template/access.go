// SPDX-License-Identifier: Apache-2.0

package template

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// wildcards: a "*" has its reason beside it, no right is given on everything, and none is given by a pattern of actions.
// JSON has no comments; there, the reasons are not asked for.
func wildcards(t Template) (found []string) {
	yaml := len(t.ids(serverless)) > 0
	for _, w := range t.Wildcards {
		if yaml && w.Reason == "" {
			found = append(found, fmt.Sprintf("%s: %q has no reason", w.Path, w.Text))
		}
	}
	for _, s := range t.statements() {
		if word(s.tree, "Effect") != "Allow" {
			continue
		}
		for _, action := range list(s.tree, "Action") {
			if text, is := action.(string); !is || strings.ContainsAny(text, "*?") {
				found = append(found, fmt.Sprintf("%s gives %v", s.owner, action))
			}
		}
		for _, name := range []string{"NotAction", "NotResource", "NotPrincipal"} {
			if at(s.tree, name) != nil {
				found = append(found, s.owner+" gives all but some: "+name)
			}
		}
		for _, resource := range list(s.tree, "Resource") {
			if resource == "*" {
				found = append(found, s.owner+" gives a right on everything")
			}
		}
	}
	return found
}

type statement struct {
	owner string // logical id
	tree  any
}

// statements are those of all policies.
func (t Template) statements() (all []statement) {
	for _, id := range t.ids("AWS::IAM::Role", "AWS::IAM::Policy", "AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy") {
		p := t.Resources[id].Properties
		documents := append(list(p, "PolicyDocument"), list(p, "AssumeRolePolicyDocument")...)
		for _, policy := range list(p, "Policies") {
			documents = append(documents, at(policy, "PolicyDocument"))
		}
		for _, document := range documents {
			for _, s := range list(document, "Statement") {
				all = append(all, statement{id, s})
			}
		}
	}
	return all
}

// functions: each is a bootstrap of its own, on the processor that is built for, and has a role of its own. What SAM would
// add to a role that it makes may write to every log.
func functions(t Template) (found []string) {
	roles := map[string]string{}
	for _, id := range t.ids(serverless, classic) {
		p := t.Resources[id].Properties
		architectures := list(p, "Architectures")
		if word(p, "Runtime") != "provided.al2023" || word(p, "Handler") != "bootstrap" || len(architectures) != 1 || architectures[0] != "arm64" {
			found = append(found, id+" is no bootstrap on provided.al2023, arm64")
		}
		role := target(at(p, "Role"))
		if t.Resources[role].Type != "AWS::IAM::Role" || p["Policies"] != nil || t.Resources[role].Properties["ManagedPolicyArns"] != nil {
			found = append(found, id+" has no role whose rights stand here")
		}
		if other := roles[role]; other != "" {
			found = append(found, id+" has the role of "+other)
		}
		roles[role] = id
	}
	if len(roles) == 0 {
		found = append(found, "there is no function")
	}
	return found
}

// doorsAreShut: a function is called by what the template names, through the front door or by who may by IAM. No program of the
// deploy itself runs: what it did would have to be undone, and what it made be told to somebody.
func doorsAreShut(t Template) (found []string) {
	for _, id := range slices.Sorted(maps.Keys(t.Resources)) {
		r := t.Resources[id]
		switch {
		case r.Type == "AWS::Lambda::Url" || r.Properties["FunctionUrlConfig"] != nil:
			found = append(found, id+" has a door of its own")
		case r.Type == "AWS::Lambda::Permission":
			if principal := word(r.Properties, "Principal"); !strings.HasSuffix(principal, ".amazonaws.com") || r.Properties["SourceArn"] == nil {
				found = append(found, id+" lets in whoever comes")
			}
		case strings.HasPrefix(r.Type, "Custom::") || r.Type == "AWS::CloudFormation::CustomResource" || r.Type == "AWS::CloudFormation::Macro":
			found = append(found, id+" is a program of the deploy")
		}
	}
	return found
}

// logs: each function has a group of its own with an end of its lines, and may write to that one alone.
func logs(t Template) (found []string) {
	groups := map[string]string{}
	for _, id := range t.ids(serverless, classic) {
		p := t.Resources[id].Properties
		group := target(at(p, "LoggingConfig", "LogGroup"))
		if t.Resources[group].Type != "AWS::Logs::LogGroup" || t.Resources[group].Properties["RetentionInDays"] == nil || groups[group] != "" {
			found = append(found, id+" has no log group of its own with an end")
		}
		groups[group] = id
		for _, s := range t.statements() {
			if s.owner != target(at(p, "Role")) || !slices.ContainsFunc(list(s.tree, "Action"), isLogs) {
				continue
			}
			for _, resource := range list(s.tree, "Resource") {
				if target(resource) != group {
					found = append(found, fmt.Sprintf("%s may write to %v", id, resource))
				}
			}
		}
	}
	return found
}

func isLogs(action any) bool {
	text, _ := action.(string)
	return strings.HasPrefix(text, "logs:")
}

// bucket: nobody but the roles gets in, nobody in the clear.
func bucket(t Template) (found []string) {
	buckets := t.ids("AWS::S3::Bucket")
	if len(buckets) != 1 {
		found = append(found, "there is not exactly one bucket")
	}
	for _, id := range buckets {
		p := t.Resources[id].Properties
		for _, name := range []string{"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"} {
			if word(p, "PublicAccessBlockConfiguration", name) != "true" {
				found = append(found, id+" is public: "+name)
			}
		}
		if p["AccessControl"] != nil || p["WebsiteConfiguration"] != nil || p["CorsConfiguration"] != nil {
			found = append(found, id+" is public")
		}
		if !t.onlyTLS(id) {
			found = append(found, id+" can be reached without TLS")
		}
		if !strings.Contains(fmt.Sprint(p["BucketEncryption"]), "AES256") {
			found = append(found, id+" is not encrypted by S3's keys")
		}
		if !strings.Contains(fmt.Sprint(p["LifecycleConfiguration"]), "AbortIncompleteMultipartUpload") {
			found = append(found, id+" keeps parts for ever")
		}
		if word(p, "NotificationConfiguration", "EventBridgeConfiguration", "EventBridgeEnabled") != "true" {
			found = append(found, id+" tells EventBridge nothing")
		}
	}
	for _, s := range t.statements() {
		if principal := at(s.tree, "Principal"); word(s.tree, "Effect") == "Allow" && (principal == "*" || word(principal, "AWS") == "*") {
			found = append(found, s.owner+" lets everybody in")
		}
	}
	return found
}

// onlyTLS tells whether the policy of a bucket refuses everybody everything without TLS.
func (t Template) onlyTLS(bucket string) bool {
	return slices.ContainsFunc(t.statements(), func(s statement) bool {
		return t.Resources[s.owner].Type == "AWS::S3::BucketPolicy" && target(t.Resources[s.owner].Properties["Bucket"]) == bucket &&
			word(s.tree, "Effect") == "Deny" && word(s.tree, "Principal") == "*" && word(s.tree, "Action") == "s3:*" &&
			len(list(s.tree, "Resource")) == 2 && word(s.tree, "Condition", "Bool", "aws:SecureTransport") == "false"
	})
}
