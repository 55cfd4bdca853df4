// SPDX-License-Identifier: Apache-2.0

package template

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// absent is what AWS::NoValue stands for: the property, or the item of a list, that has it is left out.
type absent struct{}

// maxDepth bounds how deep values may lie in each other, references included: a cycle of references ends there.
const maxDepth = 100

// resolver gives every value of a template as CloudFormation would have it when the stack is there. A function that it does
// not know is an error. The functions are those of the CloudFormation User Guide, "Intrinsic function reference", 2026-11.
type resolver struct {
	parameters map[string]any // values, with the pseudo parameters
	mappings   map[string]any
	conditions map[string]any // as they are written
	resources  map[string]resource
	outputs    map[string]output
	physical   func(r *resolver, id string, attribute string, depth int) (string, error) // attribute "" is Ref
}

// value resolves v.
func (r *resolver) value(v any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("values lie more than %d deep in each other: is there a cycle?", maxDepth)
	}
	switch v := v.(type) {
	case map[string]any:
		if name, argument, is := function(v); is {
			return r.call(name, argument, depth+1)
		}
		out := make(map[string]any, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			item, err := r.value(v[k], depth+1)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
			if item != (absent{}) {
				out[k] = item
			}
		}
		return out, nil
	case []any:
		out := make([]any, 0, len(v))
		for i, item := range v {
			item, err := r.value(item, depth+1)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			if _, none := item.(absent); !none {
				out = append(out, item)
			}
		}
		return out, nil
	default:
		return v, nil
	}
}

// function tells whether an object is a call of an intrinsic function.
func function(v map[string]any) (name string, argument any, is bool) {
	if len(v) != 1 {
		return "", nil, false
	}
	for k, a := range v {
		if k == "Ref" || strings.HasPrefix(k, "Fn::") {
			return k, a, true
		}
	}
	return "", nil, false
}

func (r *resolver) call(name string, argument any, depth int) (any, error) {
	var v any
	var err error
	switch name {
	case "Ref":
		v, err = r.ref(argument, depth)
	case "Fn::GetAtt":
		v, err = r.getAtt(argument, depth)
	case "Fn::Sub":
		v, err = r.sub(argument, depth)
	case "Fn::Join":
		v, err = r.join(argument, depth)
	case "Fn::If":
		v, err = r.choose(argument, depth)
	case "Fn::Select":
		v, err = r.pick(argument, depth)
	case "Fn::Split":
		v, err = r.split(argument, depth)
	case "Fn::FindInMap":
		v, err = r.find(argument, depth)
	default:
		return nil, fmt.Errorf("%s is a function that is not known here", name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}

func (r *resolver) ref(argument any, depth int) (any, error) {
	id, ok := argument.(string)
	if !ok {
		return nil, fmt.Errorf("%v is no name", argument)
	}
	if id == "AWS::NoValue" {
		return absent{}, nil
	}
	if v, ok := r.parameters[id]; ok {
		return v, nil
	}
	return r.physical(r, id, "", depth)
}

func (r *resolver) getAtt(argument any, depth int) (any, error) {
	if s, ok := argument.(string); ok {
		id, attribute, _ := strings.Cut(s, ".")
		argument = []any{id, attribute}
	}
	names, err := texts(argument, 2)
	if err != nil {
		return nil, err
	}
	if names[1] == "" {
		return nil, fmt.Errorf("%s without an attribute", names[0])
	}
	return r.physical(r, names[0], names[1], depth)
}

// sub replaces ${Name}, ${Name.Attribute} and the names of its own map; ${!Name} stays as ${Name}.
func (r *resolver) sub(argument any, depth int) (any, error) {
	text, own := argument, map[string]any{}
	if list, ok := argument.([]any); ok {
		if len(list) != 2 {
			return nil, fmt.Errorf("a list of %d instead of a text and a map", len(list))
		}
		m, ok := list[1].(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%v is no map", list[1])
		}
		text, own = list[0], m
	}
	rest, ok := text.(string)
	if !ok {
		return nil, fmt.Errorf("%v is no text", text)
	}
	var out strings.Builder
	for {
		before, after, found := strings.Cut(rest, "${")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		name, tail, closed := strings.Cut(after, "}")
		if !closed {
			return nil, fmt.Errorf("%q has a ${ that does not end", text)
		}
		rest = tail
		if literal, is := strings.CutPrefix(name, "!"); is {
			out.WriteString("${" + literal + "}")
			continue
		}
		var v any
		var err error
		if mine, is := own[name]; is {
			v, err = r.value(mine, depth+1)
		} else if strings.Contains(name, ".") {
			v, err = r.getAtt(name, depth+1)
		} else {
			v, err = r.ref(name, depth+1)
		}
		if err != nil {
			return nil, err
		}
		s, ok := scalar(v)
		if !ok {
			return nil, fmt.Errorf("${%s} is no text", name)
		}
		out.WriteString(s)
	}
}

func (r *resolver) join(argument any, depth int) (any, error) {
	pair, ok := argument.([]any)
	if !ok || len(pair) != 2 {
		return nil, fmt.Errorf("%v is no pair of a separator and a list", argument)
	}
	separator, ok := pair[0].(string)
	if !ok {
		return nil, fmt.Errorf("%v is no separator", pair[0])
	}
	items, err := r.list(pair[1], depth)
	return strings.Join(items, separator), err
}

// list resolves v, which must become a list of texts.
func (r *resolver) list(v any, depth int) ([]string, error) {
	v, err := r.value(v, depth+1)
	if err != nil {
		return nil, err
	}
	return texts(v, -1)
}

func (r *resolver) choose(argument any, depth int) (any, error) {
	list, ok := argument.([]any)
	if !ok || len(list) != 3 {
		return nil, fmt.Errorf("%v is no condition with two values", argument)
	}
	name, ok := list[0].(string)
	if !ok {
		return nil, fmt.Errorf("%v is no name of a condition", list[0])
	}
	holds, err := r.condition(name, depth+1)
	if err != nil {
		return nil, err
	}
	if holds {
		return r.value(list[1], depth+1)
	}
	return r.value(list[2], depth+1)
}

func (r *resolver) pick(argument any, depth int) (any, error) {
	pair, ok := argument.([]any)
	if !ok || len(pair) != 2 {
		return nil, fmt.Errorf("%v is no pair of an index and a list", argument)
	}
	text, _ := scalar(pair[0])
	i, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("%v is no index", pair[0])
	}
	items, err := r.list(pair[1], depth)
	if err != nil {
		return nil, err
	}
	if i < 0 || i >= len(items) {
		return nil, fmt.Errorf("no item %d of %d", i, len(items))
	}
	return items[i], nil
}

func (r *resolver) split(argument any, depth int) (any, error) {
	items, err := r.list(argument, depth)
	if err != nil {
		return nil, err
	}
	if len(items) != 2 || items[0] == "" {
		return nil, fmt.Errorf("%v is no pair of a separator and a text", argument)
	}
	var out []any
	for _, s := range strings.Split(items[1], items[0]) {
		out = append(out, s)
	}
	return out, nil
}

func (r *resolver) find(argument any, depth int) (any, error) {
	path, err := r.list(argument, depth)
	if err != nil {
		return nil, err
	}
	if len(path) != 3 {
		return nil, fmt.Errorf("%v is no map with two keys", argument)
	}
	var v any = r.mappings
	for _, name := range path {
		m, _ := v.(map[string]any)
		next, ok := m[name]
		if !ok {
			return nil, fmt.Errorf("there is no %s", strings.Join(path, " / "))
		}
		v = next
	}
	return v, nil
}

// texts takes v for a list of texts, n of them unless n is negative.
func texts(v any, n int) ([]string, error) {
	list, ok := v.([]any)
	if !ok || n >= 0 && len(list) != n {
		return nil, fmt.Errorf("%v is no list of %d texts", v, n)
	}
	out := make([]string, len(list))
	for i, item := range list {
		if out[i], ok = scalar(item); !ok {
			return nil, fmt.Errorf("%v is no text", item)
		}
	}
	return out, nil
}
