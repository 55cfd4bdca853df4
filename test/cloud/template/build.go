// SPDX-License-Identifier: Apache-2.0

package template

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// builder makes a stack of resources, whose properties it resolves.
type builder struct {
	in    *resolver
	s     Setting
	stack Stack
	api   map[string]integration // by physical id
}

type integration struct {
	function string // ARN
	timeout  time.Duration
}

// build reads every resource of the kinds that the cloud on a laptop plays. Those that it only watches from outside
// (alarms, dashboards) are resolved as well, so that a reference to nothing is found.
func build(in *resolver, s Setting) (Stack, error) {
	b := &builder{in: in, s: s, api: map[string]integration{}}
	steps := []struct {
		kind string
		read func(id string) error
	}{
		{"AWS::Logs::LogGroup", b.logGroup}, {"AWS::IAM::Role", b.role}, {"AWS::IAM::Policy", b.policy},
		{"AWS::IAM::ManagedPolicy", b.managedPolicy}, {"AWS::Lambda::Function", b.function},
		{"AWS::Lambda::EventInvokeConfig", b.invoke}, {"AWS::Lambda::Permission", b.permission},
		{"AWS::ApiGatewayV2::Api", b.gateway}, {"AWS::ApiGatewayV2::Integration", b.integration},
		{"AWS::ApiGatewayV2::Route", b.route}, {"AWS::ApiGatewayV2::Stage", b.stage},
		{"AWS::Events::Rule", b.rule}, {"AWS::Scheduler::Schedule", b.schedule},
		{"AWS::S3::Bucket", b.bucket}, {"AWS::S3::BucketPolicy", b.bucketPolicy}, {"AWS::DynamoDB::Table", b.table},
		{"AWS::SQS::Queue", b.queue}, {"AWS::SQS::QueuePolicy", b.queuePolicy},
	}
	ids := slices.Sorted(maps.Keys(in.resources))
	for _, step := range steps {
		for _, id := range ids {
			if in.resources[id].Type != step.kind {
				continue
			}
			if err := step.read(id); err != nil {
				return Stack{}, fmt.Errorf("%s (%s): %w", id, step.kind, err)
			}
		}
	}
	for _, id := range ids {
		if _, err := in.value(in.resources[id].Properties, 0); err != nil {
			return Stack{}, fmt.Errorf("%s (%s): %w", id, in.resources[id].Type, err)
		}
	}
	return b.stack, b.outputs()
}

// outputs resolves what the deployer is shown.
func (b *builder) outputs() error {
	b.stack.Outputs = map[string]string{}
	for name, o := range b.in.outputs {
		if o.Condition != "" {
			holds, err := b.in.condition(o.Condition, 0)
			if err != nil {
				return fmt.Errorf("output %s: %w", name, err)
			}
			if !holds {
				continue
			}
		}
		v, err := b.in.value(o.Value, 0)
		if err != nil {
			return fmt.Errorf("output %s: %w", name, err)
		}
		text, ok := scalar(v)
		if !ok {
			return fmt.Errorf("output %s is no text", name)
		}
		b.stack.Outputs[name] = text
	}
	return nil
}

// properties resolves a resource's properties into out, a pointer to a struct.
func (b *builder) properties(id string, out any) error {
	v, err := b.in.value(b.in.resources[id].Properties, 0)
	if err != nil {
		return err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, out)
}

// names gives a resource's physical name and ARN.
func (b *builder) names(id string) (name, arn string, err error) {
	n, ok := named(b.in.resources[id].Type)
	if !ok {
		return "", "", fmt.Errorf("a %s has no name that is known here", b.in.resources[id].Type)
	}
	if name, err = nameOf(b.in, b.s, id, n, 0); err != nil || n.arn == nil {
		return name, "", err
	}
	return name, n.arn(b.s, name), nil
}

// functionOf finds the function with an ARN.
func (b *builder) functionOf(arn string) (string, error) {
	for _, f := range b.stack.Functions {
		if f.ARN == arn || f.Name == arn {
			return f.ID, nil
		}
	}
	return "", fmt.Errorf("%q is no function of this stack", arn)
}

// roleOf finds the role with an ARN or a name.
func (b *builder) roleOf(name string) (*Role, error) {
	for i := range b.stack.Roles {
		if r := &b.stack.Roles[i]; r.ARN == name || r.Name == name {
			return r, nil
		}
	}
	return nil, fmt.Errorf("%q is no role of this stack: what it permits is not known", name)
}

// number is a number that may be written as a text, as values of parameters are. Absent is none.
type number struct {
	value float64
	given bool
}

func (n *number) UnmarshalJSON(text []byte) error {
	v, err := strconv.ParseFloat(strings.Trim(string(text), `"`), 64)
	n.value, n.given = v, true
	return err
}

// or gives the number, or what stands for its absence.
func (n number) or(absence int) int {
	if n.given {
		return int(n.value)
	}
	return absence
}

// truth is a truth value that may be written as a text.
type truth bool

func (t *truth) UnmarshalJSON(text []byte) error {
	v, err := strconv.ParseBool(strings.Trim(string(text), `"`))
	*t = truth(v)
	return err
}
