// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// condition is one key of one operator. All conditions of a statement must hold; of a condition's values one is enough,
// and of an operator that denies, none may match.
type condition struct {
	set    quantifier
	match  func(want, have string) bool
	negate bool
	null   bool
	key    string // in lower case
	values []string
}

type quantifier int

const (
	single quantifier = iota
	forAllValues
	forAnyValue
)

// operator gives the comparison of an operator that is known here.
func operator(name string) (match func(want, have string) bool, negate, ok bool) {
	switch name {
	case "StringEquals":
		return func(want, have string) bool { return want == have }, false, true
	case "StringNotEquals":
		return func(want, have string) bool { return want == have }, true, true
	case "StringLike":
		return glob, false, true
	case "StringNotLike":
		return glob, true, true
	case "ArnEquals", "ArnLike": // the same, says the reference
		return matchARN, false, true
	case "Bool":
		return strings.EqualFold, false, true
	default:
		return nil, false, false
	}
}

// conditions reads a Condition element.
func conditions(w map[string]map[string]list) ([]condition, error) {
	var out []condition
	for _, name := range slices.Sorted(maps.Keys(w)) {
		set, plain := quantified(name)
		match, negate, ok := operator(plain)
		null := name == "Null"
		if !ok && !null {
			return nil, fmt.Errorf("the operator %s is not known here", name)
		}
		for _, key := range slices.Sorted(maps.Keys(w[name])) {
			values := w[name][key]
			if len(values) == 0 {
				return nil, fmt.Errorf("%s of %s compares with nothing", name, key)
			}
			for _, v := range values {
				if strings.Contains(v, "${") {
					return nil, fmt.Errorf("%q has a variable; none is known here", v)
				}
				if (null || plain == "Bool") && !strings.EqualFold(v, "true") && !strings.EqualFold(v, "false") {
					return nil, fmt.Errorf("%s of %s compares with %q", name, key, v)
				}
			}
			if null && len(values) != 1 {
				return nil, fmt.Errorf("%s of %s is said twice", name, key)
			}
			out = append(out, condition{set, match, negate, null, strings.ToLower(key), values})
		}
	}
	return out, nil
}

// quantified takes ForAllValues: and ForAnyValue: off the name of an operator on texts. On others they stay, and make it
// one that is not known.
func quantified(name string) (quantifier, string) {
	for prefix, set := range map[string]quantifier{"ForAllValues:": forAllValues, "ForAnyValue:": forAnyValue} {
		if rest, ok := strings.CutPrefix(name, prefix); ok && strings.HasPrefix(rest, "String") {
			return set, rest
		}
	}
	return single, name
}

// holds compares with the values that the request has. A key that is absent matches nothing, so that an operator that
// denies holds; ForAllValues holds of no value; ForAnyValue does not, whatever the operator.
func (c condition) holds(context map[string][]string) bool {
	have := context[c.key]
	if c.null {
		return strings.EqualFold(c.values[0], "true") == (len(have) == 0)
	}
	one := func(v string) bool {
		matched := slices.ContainsFunc(c.values, func(want string) bool { return c.match(want, v) })
		return matched != c.negate
	}
	switch c.set {
	case forAllValues:
		return !slices.ContainsFunc(have, func(v string) bool { return !one(v) })
	case forAnyValue:
		return slices.ContainsFunc(have, one)
	default:
		if len(have) == 0 {
			return c.negate
		}
		// More than one value needs one of the two prefixes; without, IAM leaves it open. The strict reading holds either way.
		if c.negate {
			return !slices.ContainsFunc(have, func(v string) bool { return !one(v) })
		}
		return len(have) == 1 && one(have[0])
	}
}
