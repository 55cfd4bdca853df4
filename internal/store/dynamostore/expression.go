// SPDX-License-Identifier: Apache-2.0

package dynamostore

import (
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"tare/internal/store"
)

// expression collects the names and values that expressions of one request stand for. The same operation always gives the
// same text, since DynamoDB compares requests under one token.
type expression struct {
	names  map[string]string // nil: none; DynamoDB refuses an empty one
	values map[string]types.AttributeValue
	known  map[string]string // name to placeholder
}

// name returns the placeholder of an attribute.
func (e *expression) name(attr string) string {
	if p, ok := e.known[attr]; ok {
		return p
	}
	if e.names == nil {
		e.names, e.known = make(map[string]string), make(map[string]string)
	}
	p := "#n" + strconv.Itoa(len(e.names))
	e.names[p], e.known[attr] = attr, p
	return p
}

// value returns a placeholder of a value.
func (e *expression) value(v types.AttributeValue) string {
	if e.values == nil {
		e.values = make(map[string]types.AttributeValue)
	}
	p := ":v" + strconv.Itoa(len(e.values))
	e.values[p] = v
	return p
}

// condition returns the text of conditions that must all hold; nil where there are none.
func (e *expression) condition(conds []store.Cond) *string {
	if len(conds) == 0 {
		return nil
	}
	all := make([]string, len(conds))
	for i, c := range conds {
		attr := c.Attr
		if attr == "" {
			attr = attrPK // there while the row is
		}
		name := e.name(attr)
		switch c.Is {
		case store.Present:
			all[i] = "attribute_exists(" + name + ")"
		case store.Absent:
			all[i] = "attribute_not_exists(" + name + ")"
		default:
			all[i] = name + " " + comparison(c.Is) + " " + e.value(encode(c.Value))
		}
	}
	return aws.String(strings.Join(all, " AND "))
}

func comparison(c store.Compare) string {
	switch c {
	case store.Less:
		return "<"
	case store.LessEqual:
		return "<="
	case store.Greater:
		return ">"
	case store.GreaterEqual:
		return ">="
	}
	return "="
}

// update returns the text of the changes of an operation.
func (e *expression) update(op *store.Op) *string {
	var clauses []string
	clause := func(word string, parts []string) {
		if len(parts) > 0 {
			clauses = append(clauses, word+" "+strings.Join(parts, ", "))
		}
	}
	var set, add, remove []string
	for _, a := range op.Set {
		set = append(set, e.name(a.Name)+" = "+e.value(encode(a.Value)))
	}
	for _, a := range op.Add {
		add = append(add, e.name(a.Name)+" "+e.value(encode(a.Value)))
	}
	for _, attr := range op.Remove {
		remove = append(remove, e.name(attr))
	}
	clause("SET", set)
	clause("ADD", add)
	clause("REMOVE", remove)
	return aws.String(strings.Join(clauses, " "))
}
