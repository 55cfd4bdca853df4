// SPDX-License-Identifier: Apache-2.0

package template

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
)

// naming is how CloudFormation names the resources of a type.
type naming struct {
	property string                           // that names it; "": it cannot be named
	ref      func(s Setting, n string) string // what Ref gives, of the physical name
	arn      func(s Setting, n string) string // nil: it has none that is asked for
	other    map[string]func(s Setting, n string) string
}

func plain(_ Setting, n string) string { return n }

// regional makes ARNs of a service with account and Region, in a form with one %s for the name.
func regional(service, form string) func(Setting, string) string {
	return func(s Setting, n string) string {
		return fmt.Sprintf("arn:%s:%s:%s:%s:%s", s.Partition, service, s.Region, s.Account, fmt.Sprintf(form, n))
	}
}

// global makes ARNs of IAM.
func global(form string) func(Setting, string) string {
	return func(s Setting, n string) string {
		return fmt.Sprintf("arn:%s:iam::%s:%s", s.Partition, s.Account, fmt.Sprintf(form, n))
	}
}

// named says what Ref and Fn::GetAtt give, for the types that a template of ours may refer to (CloudFormation User Guide,
// "Return values" of each type, 2026-11). A reference to any other type is an error.
func named(kind string) (naming, bool) {
	switch kind {
	case "AWS::S3::Bucket":
		return naming{"BucketName", plain, func(s Setting, n string) string { return "arn:" + s.Partition + ":s3:::" + n }, map[string]func(Setting, string) string{
			"DomainName":         func(s Setting, n string) string { return n + ".s3." + s.suffix() },
			"RegionalDomainName": func(s Setting, n string) string { return n + ".s3." + s.Region + "." + s.suffix() },
		}}, true
	case "AWS::DynamoDB::Table":
		return naming{"TableName", plain, regional("dynamodb", "table/%s"), nil}, true
	case "AWS::Lambda::Function":
		return naming{"FunctionName", plain, regional("lambda", "function:%s"), nil}, true
	case "AWS::IAM::Role":
		return naming{"RoleName", plain, global("role/%s"), nil}, true
	case "AWS::IAM::ManagedPolicy":
		return naming{"ManagedPolicyName", global("policy/%s"), nil, nil}, true
	case "AWS::Logs::LogGroup":
		return naming{"LogGroupName", plain, regional("logs", "log-group:%s:*"), nil}, true
	case "AWS::SQS::Queue":
		return naming{"QueueName", func(s Setting, n string) string {
			return "https://sqs." + s.Region + "." + s.suffix() + "/" + s.Account + "/" + n
		}, regional("sqs", "%s"), map[string]func(Setting, string) string{"QueueName": plain}}, true
	case "AWS::SNS::Topic":
		topic := regional("sns", "%s")
		return naming{"TopicName", topic, nil, map[string]func(Setting, string) string{"TopicArn": topic, "TopicName": plain}}, true
	case "AWS::ApiGatewayV2::Api":
		return naming{"", plain, nil, map[string]func(Setting, string) string{
			"ApiId": plain,
			"ApiEndpoint": func(s Setting, n string) string {
				return "https://" + n + ".execute-api." + s.Region + "." + s.suffix()
			},
		}}, true
	case "AWS::ApiGatewayV2::DomainName":
		return naming{"DomainName", plain, nil, map[string]func(Setting, string) string{
			"RegionalDomainName":   func(s Setting, n string) string { return "d-" + n + ".execute-api." + s.Region + "." + s.suffix() },
			"RegionalHostedZoneId": plain,
		}}, true
	case "AWS::ApiGatewayV2::Stage":
		return naming{"StageName", plain, nil, nil}, true
	case "AWS::Events::Rule":
		return naming{"Name", plain, regional("events", "rule/%s"), nil}, true
	case "AWS::Scheduler::Schedule":
		return naming{"Name", plain, regional("scheduler", "schedule/default/%s"), nil}, true
	case "AWS::CloudWatch::Alarm":
		return naming{"AlarmName", plain, regional("cloudwatch", "alarm:%s"), nil}, true
	case "AWS::ApiGatewayV2::Integration", "AWS::ApiGatewayV2::Route", "AWS::Lambda::Permission", "AWS::Lambda::EventInvokeConfig":
		return naming{"", plain, nil, nil}, true
	default:
		return naming{}, false
	}
}

// physical gives a resource's name or attribute.
func physical(s Setting) func(r *resolver, id, attribute string, depth int) (string, error) {
	return func(r *resolver, id, attribute string, depth int) (string, error) {
		res, ok := r.resources[id]
		if !ok {
			return "", fmt.Errorf("there is no parameter or resource %q in this stack", id)
		}
		n, ok := named(res.Type)
		if !ok {
			return "", fmt.Errorf("%s is a %s; what a reference to it gives is not known here", id, res.Type)
		}
		name, err := nameOf(r, s, id, n, depth)
		if err != nil {
			return "", err
		}
		switch {
		case attribute == "":
			return n.ref(s, name), nil
		case attribute == "Arn" && n.arn != nil:
			return n.arn(s, name), nil
		case n.other[attribute] != nil:
			return n.other[attribute](s, name), nil
		default:
			return "", fmt.Errorf("%s, a %s, has no attribute %s that is known here", id, res.Type, attribute)
		}
	}
}

// nameOf gives the physical name of a resource: the one that the setting gives it, else that of its properties, else
// one of the form that CloudFormation generates.
func nameOf(r *resolver, s Setting, id string, n naming, depth int) (string, error) {
	if name := s.Names[id]; name != "" {
		return name, nil
	}
	res := r.resources[id]
	if written, ok := res.Properties[n.property]; ok && n.property != "" {
		v, err := r.value(written, depth+1)
		if err != nil {
			return "", fmt.Errorf("%s of %s: %w", n.property, id, err)
		}
		if name, ok := v.(string); ok {
			return name, nil
		}
		if v != (absent{}) {
			return "", fmt.Errorf("%s of %s is no text", n.property, id)
		}
	}
	sum := sha256.Sum256([]byte(s.Stack + "\x00" + id))
	tail := base32.StdEncoding.EncodeToString(sum[:])[:12]
	switch res.Type {
	case "AWS::S3::Bucket":
		return strings.ToLower(s.Stack + "-" + id + "-" + tail), nil
	case "AWS::ApiGatewayV2::Api", "AWS::ApiGatewayV2::Integration", "AWS::ApiGatewayV2::Route":
		return strings.ToLower(tail[:10]), nil
	default:
		return s.Stack + "-" + id + "-" + tail, nil
	}
}
