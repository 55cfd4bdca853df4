// SPDX-License-Identifier: Apache-2.0

package template

import (
	"encoding/json"
	"fmt"
)

// condition tells whether the named condition of the template holds.
func (r *resolver) condition(name string, depth int) (bool, error) {
	written, ok := r.conditions[name]
	if !ok {
		return false, fmt.Errorf("there is no condition %q", name)
	}
	holds, err := r.holds(written, depth+1)
	if err != nil {
		return false, fmt.Errorf("condition %s: %w", name, err)
	}
	return holds, nil
}

// holds evaluates what stands where a condition may stand.
func (r *resolver) holds(v any, depth int) (bool, error) {
	if depth > maxDepth {
		return false, fmt.Errorf("conditions lie more than %d deep in each other: is there a cycle?", maxDepth)
	}
	m, ok := v.(map[string]any)
	if !ok || len(m) != 1 {
		return false, fmt.Errorf("%v is no condition", v)
	}
	for name, argument := range m {
		if name == "Condition" {
			other, ok := argument.(string)
			if !ok {
				return false, fmt.Errorf("%v is no name of a condition", argument)
			}
			return r.condition(other, depth+1)
		}
		list, ok := argument.([]any)
		if !ok {
			return false, fmt.Errorf("%s of %v, which is no list", name, argument)
		}
		switch {
		case name == "Fn::Equals" && len(list) == 2:
			pair, err := r.list(list, depth)
			return err == nil && pair[0] == pair[1], err
		case name == "Fn::Not" && len(list) == 1:
			holds, err := r.holds(list[0], depth+1)
			return !holds, err
		case (name == "Fn::And" || name == "Fn::Or") && len(list) >= 2:
			return r.joined(name == "Fn::Or", list, depth)
		default:
			return false, fmt.Errorf("%s of %d is not known here", name, len(list))
		}
	}
	return false, nil // one key: never here
}

// joined is Fn::Or, where or is set, and else Fn::And. Every part is evaluated, so that a wrong one is always found.
func (r *resolver) joined(or bool, list []any, depth int) (bool, error) {
	result := !or
	for _, item := range list {
		holds, err := r.holds(item, depth+1)
		if err != nil {
			return false, err
		}
		if holds == or {
			result = or
		}
	}
	return result, nil
}

// scalar gives a text, number or truth value as CloudFormation writes it into a text.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		if v {
			return "true", true
		}
		return "false", true
	default:
		return "", false
	}
}
