// SPDX-License-Identifier: Apache-2.0

package rights

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"tare/test/cloud/judge"
	"tare/test/cloud/template"
)

// statement is one of a policy of the template, or a permission of a function.
type statement struct {
	resource string // logical id
	name     string
	actions  []string
	deny     bool
	remove   func(action string) // "": all of it
}

// Every statement is taken away, and every action of each: what passed before must then be refused, and the refusal has to
// name what is missing. It is what passed the judge in TestRights that is judged again.
func takeAway(t *testing.T, seen *judge.Judge) {
	text := expanded(t)
	all := statements(t, text)
	if len(all) < 20 {
		t.Errorf("the template has %d statements that are known here", len(all))
	}
	for i, s := range all {
		actions := append([]string{""}, s.actions...)
		if len(s.actions) == 1 || s.deny {
			actions = actions[:1]
		}
		for _, action := range actions {
			var doc map[string]any
			if err := json.Unmarshal(text, &doc); err != nil {
				t.Fatal(err)
			}
			statementsOf(doc)[i].remove(action)
			poorer, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			if why := misses(seen, poorer, s, action); why != "" {
				t.Errorf("%s/%s without %q: %s", s.resource, s.name, action, why)
			}
		}
	}
}

// misses tells why the suite would not notice that the template lacks what was taken away; "" if it does.
func misses(seen *judge.Judge, poorer []byte, s statement, action string) string {
	stack, j, err := judgeOf(poorer)
	if err != nil {
		return err.Error()
	}
	if s.deny {
		if !slices.ContainsFunc(stack.Buckets, func(b template.Bucket) bool { return j.InClear(b.Name) }) {
			return "nobody may send in clear now"
		}
		return ""
	}
	refused := j.Again(seen)
	_ = j.Services() // its refusals are in the report
	refused = append(refused, j.Report().Faults()...)
	missing := s.actions
	if action != "" {
		missing = []string{action}
	}
	for _, want := range missing {
		if !slices.ContainsFunc(refused, func(r judge.Refusal) bool { return r.Action == want && r.Actor != "" && r.Resource != "" }) {
			return fmt.Sprintf("nothing misses %s; refused: %v", want, refused)
		}
	}
	for _, r := range refused {
		if !slices.Contains(missing, r.Action) {
			return fmt.Sprintf("%v is refused, which has nothing to do with it", r)
		}
	}
	return ""
}

func statements(t *testing.T, text []byte) []statement {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return statementsOf(doc)
}

// statementsOf lists the statements of a template, always in the same order.
func statementsOf(doc map[string]any) []statement {
	resources := doc["Resources"].(map[string]any)
	var out []statement
	for _, id := range slices.Sorted(maps.Keys(resources)) {
		r := resources[id].(map[string]any)
		p, _ := r["Properties"].(map[string]any)
		whole := func(string) { delete(resources, id) }
		switch kind := r["Type"].(string); {
		case kind == "AWS::Lambda::Permission":
			out = append(out, statement{resource: id, name: "permission", actions: []string{p["Action"].(string)}, remove: whole})
		case p["PolicyDocument"] != nil:
			out = append(out, inDocument(id, p["PolicyDocument"].(map[string]any), whole)...)
		case kind == "AWS::IAM::Role":
			for _, one := range p["Policies"].([]any) {
				document := one.(map[string]any)["PolicyDocument"].(map[string]any)
				out = append(out, inDocument(id, document, func(string) { delete(p, "Policies") })...)
			}
		}
	}
	return out
}

// inDocument lists the statements of a document. The last of one goes with what it is in.
func inDocument(id string, document map[string]any, whole func(string)) []statement {
	list := document["Statement"].([]any)
	var out []statement
	for i := range list {
		s := list[i].(map[string]any)
		actions := texts(s["Action"])
		name, _ := s["Sid"].(string)
		remove := func(action string) {
			switch {
			case action != "":
				s["Action"] = slices.DeleteFunc(actions, func(a string) bool { return a == action })
			case len(list) == 1:
				whole("")
			default:
				document["Statement"] = slices.Delete(list, i, i+1)
			}
		}
		out = append(out, statement{id, name, actions, strings.EqualFold(s["Effect"].(string), "Deny"), remove})
	}
	return out
}

func texts(v any) []string {
	one, ok := v.(string)
	if ok {
		return []string{one}
	}
	var out []string
	for _, x := range v.([]any) {
		out = append(out, x.(string))
	}
	return out
}
