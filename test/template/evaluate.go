// SPDX-License-Identifier: Apache-2.0

package template

import (
	"fmt"
	"strconv"
	"strings"
)

// Evaluator plays the functions that texts and conditions of a template go through.
type Evaluator struct {
	Stack  Template
	Values map[string]string // of parameters, AWS::Region and the like, and names of resources
}

// Text is a value as CloudFormation finds it. It panics where CloudFormation refuses.
func (e Evaluator) Text(v any) string {
	if s, is := v.(string); is {
		return s
	}
	if name := word(v, "Ref"); name != "" {
		return e.Values[name]
	}
	if pair := list(v, "Fn::Select"); len(pair) == 2 {
		i, err := strconv.Atoi(e.Text(pair[0]))
		if all := e.split(pair[1]); err == nil && i < len(all) {
			return all[i]
		}
		panic(fmt.Sprintf("CloudFormation refuses to select from %v", pair))
	}
	if three := list(v, "Fn::If"); len(three) == 3 {
		if e.Condition(three[0].(string)) {
			return e.Text(three[1])
		}
		return e.Text(three[2])
	}
	if s := list(v, "Fn::Sub"); len(s) > 0 {
		text := s[0].(string)
		if len(s) == 2 {
			for name, value := range s[1].(map[string]any) {
				text = strings.ReplaceAll(text, "${"+name+"}", e.Text(value))
			}
		}
		for name, value := range e.Values {
			text = strings.ReplaceAll(text, "${"+name+"}", value)
		}
		return text
	}
	panic(fmt.Sprintf("what is %v?", v))
}

// Output is the value of an output.
func (e Evaluator) Output(name string) string { return e.Text(at(e.Stack.Outputs[name], "Value")) }

func (e Evaluator) split(v any) []string {
	pair := list(v, "Fn::Split")
	return strings.Split(e.Text(pair[1]), e.Text(pair[0]))
}

// Condition tells whether the condition of a name holds.
func (e Evaluator) Condition(name string) bool { return e.truth(e.Stack.Conditions[name]) }

func (e Evaluator) truth(v any) bool {
	if inner := list(v, "Fn::Not"); len(inner) == 1 {
		return !e.truth(inner[0])
	}
	pair := list(v, "Fn::Equals")
	return e.Text(pair[0]) == e.Text(pair[1])
}
