// SPDX-License-Identifier: Apache-2.0

package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Pattern is an EventBridge event pattern. EventBridge User Guide, "Amazon EventBridge event patterns": a field matches when
// its value is one of those in the pattern's array, and all fields of the pattern must match. Operators that no rule of the
// template uses are errors rather than guesses.
type Pattern struct{ fields map[string]matcher }

type matcher struct {
	nested *Pattern
	any    []func(value any, there bool) bool
}

// Compile reads a pattern.
func Compile(raw json.RawMessage) (*Pattern, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, fmt.Errorf("event pattern: %w", err)
	}
	p := &Pattern{fields: map[string]matcher{}}
	for name, value := range fields {
		if strings.HasPrefix(name, "$") {
			return nil, fmt.Errorf("event pattern: %s is not played here", name)
		}
		if bytes.HasPrefix(bytes.TrimSpace(value), []byte("{")) {
			nested, err := Compile(value)
			if err != nil {
				return nil, err
			}
			p.fields[name] = matcher{nested: nested}
			continue
		}
		var list []any
		if err := json.Unmarshal(value, &list); err != nil || len(list) == 0 {
			return nil, fmt.Errorf("event pattern: %s is not a list of values", name)
		}
		var m matcher
		for _, one := range list {
			match, err := compileValue(one)
			if err != nil {
				return nil, fmt.Errorf("event pattern: %s: %w", name, err)
			}
			m.any = append(m.any, match)
		}
		p.fields[name] = m
	}
	return p, nil
}

func compileValue(want any) (func(any, bool) bool, error) {
	operator, ok := want.(map[string]any)
	if !ok {
		return func(got any, there bool) bool { return there && got == want }, nil
	}
	if len(operator) != 1 {
		return nil, fmt.Errorf("%v is not one operator", operator)
	}
	for name, argument := range operator {
		text, isText := argument.(string)
		flag, isFlag := argument.(bool)
		switch {
		case name == "prefix" && isText:
			return func(got any, _ bool) bool { s, ok := got.(string); return ok && strings.HasPrefix(s, text) }, nil
		case name == "suffix" && isText:
			return func(got any, _ bool) bool { s, ok := got.(string); return ok && strings.HasSuffix(s, text) }, nil
		case name == "exists" && isFlag:
			return func(_ any, there bool) bool { return there == flag }, nil
		}
		return nil, fmt.Errorf("operator %s with %v is not played here", name, argument)
	}
	return nil, nil
}

// Match tells whether an event is one that the pattern wants.
func (p *Pattern) Match(event []byte) bool {
	var fields map[string]any
	return json.Unmarshal(event, &fields) == nil && p.match(fields)
}

func (p *Pattern) match(fields map[string]any) bool {
	for name, m := range p.fields {
		value, there := fields[name]
		if m.nested != nil {
			inner, ok := value.(map[string]any)
			if !ok || !m.nested.match(inner) {
				return false
			}
			continue
		}
		if !m.matches(value, there) {
			return false
		}
	}
	return true
}

// matches compares a value, or each of an array: one that matches is enough.
func (m matcher) matches(value any, there bool) bool {
	values, ok := value.([]any)
	if !ok {
		values = []any{value}
	}
	for _, v := range values {
		for _, match := range m.any {
			if match(v, there) {
				return true
			}
		}
	}
	return false
}
