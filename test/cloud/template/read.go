// SPDX-License-Identifier: Apache-2.0

package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Setting is where a stack stands, and what its deployer says.
type Setting struct {
	Partition  string            // "": aws
	Account    string            // 12 digits; "": 123456789012
	Region     string            // "": us-east-1
	Stack      string            // name of the stack; "": tare
	Parameters map[string]string // values; the others have their defaults
	Names      map[string]string // physical names by logical id; the others are generated, always the same ones
}

func (s Setting) suffix() string {
	if s.Partition == "aws-cn" {
		return "amazonaws.com.cn"
	}
	return "amazonaws.com"
}

// Complete gives the setting with what is absent filled in.
func (s Setting) Complete() Setting {
	for at, v := range map[*string]string{&s.Partition: "aws", &s.Account: "123456789012", &s.Region: "us-east-1", &s.Stack: "tare"} {
		if *at == "" {
			*at = v
		}
	}
	return s
}

// maxTemplate is how many bytes CloudFormation takes (quotas, 2026-11).
const maxTemplate = 1 << 20

// document is a template as it is written.
type document struct {
	Transform  any                  `json:"Transform"`
	Parameters map[string]parameter `json:"Parameters"`
	Mappings   map[string]any       `json:"Mappings"`
	Conditions map[string]any       `json:"Conditions"`
	Resources  map[string]resource  `json:"Resources"`
	Outputs    map[string]output    `json:"Outputs"`
}

type output struct {
	Condition string `json:"Condition"`
	Value     any    `json:"Value"`
}

type parameter struct {
	Type          string `json:"Type"`
	Default       any    `json:"Default"`
	AllowedValues []any  `json:"AllowedValues"`
}

type resource struct {
	Type       string         `json:"Type"`
	Condition  string         `json:"Condition"`
	Properties map[string]any `json:"Properties"`
}

// Read reads a template as aws-sam-translator expands it, and gives the stack that a deploy with this setting would make.
// What it does not understand, among all that the stack needs, is an error that names the resource.
func Read(r io.Reader, s Setting) (Stack, error) {
	s = s.Complete()
	doc, err := decode(r)
	if err != nil {
		return Stack{}, err
	}
	if doc.Transform != nil {
		return Stack{}, errors.New("the template has a transform: it must be expanded first")
	}
	parameters, err := parametersOf(doc, s)
	if err != nil {
		return Stack{}, err
	}
	in := &resolver{parameters: parameters, mappings: doc.Mappings, conditions: doc.Conditions, outputs: doc.Outputs, physical: physical(s)}
	for _, name := range slices.Sorted(maps.Keys(doc.Conditions)) { // all of them, used or not
		if _, err := in.condition(name, 0); err != nil {
			return Stack{}, err
		}
	}
	if in.resources, err = present(in, doc.Resources); err != nil {
		return Stack{}, err
	}
	return build(in, s)
}

func decode(r io.Reader) (document, error) {
	d := json.NewDecoder(io.LimitReader(r, maxTemplate+1))
	d.UseNumber()
	var doc document
	if err := d.Decode(&doc); err != nil {
		return doc, fmt.Errorf("the template is no JSON: %w", err)
	}
	if d.InputOffset() > maxTemplate {
		return doc, fmt.Errorf("the template has more than %d bytes", maxTemplate)
	}
	if len(doc.Resources) == 0 {
		return doc, errors.New("the template has no resources")
	}
	return doc, nil
}

// parametersOf gives the values of parameters, those of AWS included.
func parametersOf(doc document, s Setting) (map[string]any, error) {
	out := map[string]any{
		"AWS::AccountId": s.Account, "AWS::Partition": s.Partition, "AWS::Region": s.Region, "AWS::StackName": s.Stack,
		"AWS::StackId":   fmt.Sprintf("arn:%s:cloudformation:%s:%s:stack/%s/1", s.Partition, s.Region, s.Account, s.Stack),
		"AWS::URLSuffix": s.suffix(),
	}
	for name := range s.Parameters {
		if _, ok := doc.Parameters[name]; !ok {
			return nil, fmt.Errorf("the template has no parameter %q", name)
		}
	}
	for name, p := range doc.Parameters {
		v, given := s.Parameters[name]
		if !given {
			var ok bool
			if v, ok = scalar(p.Default); !ok {
				return nil, fmt.Errorf("parameter %s has no value and no default", name)
			}
		}
		if p.AllowedValues != nil && !slices.ContainsFunc(p.AllowedValues, func(a any) bool { t, _ := scalar(a); return t == v }) {
			return nil, fmt.Errorf("parameter %s may not be %q", name, v)
		}
		if p.Type != "String" && p.Type != "Number" {
			return nil, fmt.Errorf("parameter %s has the type %s, which is not known here", name, p.Type)
		}
		out[name] = v
	}
	return out, nil
}

// present gives the resources whose conditions hold.
func present(in *resolver, all map[string]resource) (map[string]resource, error) {
	out := make(map[string]resource, len(all))
	for id, res := range all {
		if res.Condition != "" {
			holds, err := in.condition(res.Condition, 0)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", id, err)
			}
			if !holds {
				continue
			}
		}
		out[id] = res
	}
	return out, nil
}
