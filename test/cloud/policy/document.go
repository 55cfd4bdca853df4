// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Document is a policy that was read.
type Document struct {
	name       string
	statements []statement
}

type statement struct {
	id         string // of its document and itself: <document>/<Sid>, or its number where it has none
	allow      bool
	principals []string // ARNs or *; nil in a role's own
	actions    []string
	resources  []string
	conditions []condition
}

// written is a statement as it stands in JSON. Any other element is an error: NotAction, NotResource and NotPrincipal turn
// a statement round, and nothing of ours uses them.
type written struct {
	Sid       string
	Effect    string
	Principal json.RawMessage
	Action    list
	Resource  list
	Condition map[string]map[string]list
}

// Of says whose document it is.
type Of int

// Documents are a role's, or a resource's, whose statements name principals.
const (
	OfRole Of = iota
	OfResource
)

// Parse reads a document. The name is for reports.
func Parse(name string, text []byte, of Of) (Document, error) {
	doc, err := parse(name, text, of)
	if err != nil {
		return Document{}, fmt.Errorf("policy %s: %w", name, err)
	}
	return doc, nil
}

func parse(name string, text []byte, of Of) (Document, error) {
	var p struct {
		Version   string
		ID        string `json:"Id"`
		Statement json.RawMessage
	}
	if err := strict(text, &p); err != nil {
		return Document{}, err
	}
	if p.Version != "2012-10-17" {
		return Document{}, fmt.Errorf("version %q: only 2012-10-17 is known here", p.Version)
	}
	var all []json.RawMessage
	if err := json.Unmarshal(p.Statement, &all); err != nil {
		all = []json.RawMessage{p.Statement}
	}
	if len(all) == 0 {
		return Document{}, errors.New("no statement")
	}
	doc := Document{name: name}
	for i, raw := range all {
		var w written
		if err := strict(raw, &w); err != nil {
			return Document{}, fmt.Errorf("statement %d: %w", i, err)
		}
		if w.Sid == "" {
			w.Sid = strconv.Itoa(i)
		}
		s, err := w.statement(name+"/"+w.Sid, of)
		if err != nil {
			return Document{}, fmt.Errorf("statement %s: %w", w.Sid, err)
		}
		if slices.ContainsFunc(doc.statements, func(other statement) bool { return other.id == s.id }) {
			return Document{}, fmt.Errorf("two statements %s", w.Sid)
		}
		doc.statements = append(doc.statements, s)
	}
	return doc, nil
}

func (w written) statement(id string, of Of) (statement, error) {
	s := statement{id: id, allow: w.Effect == "Allow", actions: w.Action, resources: w.Resource}
	if w.Effect != "Allow" && w.Effect != "Deny" {
		return s, fmt.Errorf("effect %q", w.Effect)
	}
	if len(w.Action) == 0 || len(w.Resource) == 0 {
		return s, errors.New("no action or no resource")
	}
	for _, a := range w.Action {
		service, rest, found := strings.Cut(a, ":")
		if a != "*" && (!found || rest == "" || strings.ContainsAny(service, "*?")) {
			return s, fmt.Errorf("%q is no action", a)
		}
	}
	for _, r := range w.Resource {
		if r != "*" && (len(strings.SplitN(r, ":", segments)) != segments || !strings.HasPrefix(r, "arn:")) {
			return s, fmt.Errorf("%q is no ARN", r)
		}
		if strings.Contains(r, "${") {
			return s, fmt.Errorf("%q has a variable; none is known here", r)
		}
	}
	var err error
	if s.principals, err = principals(w.Principal, of); err != nil {
		return s, err
	}
	s.conditions, err = conditions(w.Condition)
	return s, err
}

// principals reads "*", {"AWS": …} and {"Service": …}. A service is nobody who is judged here, but its statement is kept.
func principals(raw json.RawMessage, of Of) ([]string, error) {
	if of == OfRole {
		if raw != nil {
			return nil, errors.New("a role's own statement names no principal")
		}
		return nil, nil
	}
	if string(raw) == `"*"` {
		return []string{"*"}, nil
	}
	var m map[string]list
	if err := json.Unmarshal(raw, &m); err != nil || len(m) == 0 {
		return nil, fmt.Errorf("%s is no principal", raw)
	}
	out := []string{}
	for kind, names := range m {
		if kind != "AWS" && kind != "Service" {
			return nil, fmt.Errorf("principals of the kind %s are not known here", kind)
		}
		for _, n := range names {
			if n != "*" && strings.ContainsAny(n, "*?") || kind == "AWS" && n != "*" && !strings.Contains(n, ":role/") {
				return nil, fmt.Errorf("%q is no principal that is known here: a role's ARN, or *", n)
			}
			if kind == "AWS" || n != "*" {
				out = append(out, n)
			}
		}
	}
	return out, nil
}

// list is one text or many. A truth value or number is taken for its text, as IAM does.
type list []string

func (l *list) UnmarshalJSON(text []byte) error {
	var many []json.RawMessage
	if json.Unmarshal(text, &many) != nil {
		many = []json.RawMessage{text}
	}
	for _, raw := range many {
		var v any
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			return err
		}
		switch v := v.(type) {
		case string:
			*l = append(*l, v)
		case json.Number:
			*l = append(*l, v.String())
		case bool:
			*l = append(*l, strconv.FormatBool(v))
		default:
			return fmt.Errorf("%s is no text", raw)
		}
	}
	return nil
}

// strict decodes JSON that may have nothing but what out has.
func strict(text []byte, out any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(out); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something after its end")
	}
	return nil
}

// Keys names the condition keys that a document asks for, in lower case. Whoever builds requests must know all of them: an
// absent key is an answer, too.
func (d Document) Keys() []string {
	var out []string
	for _, s := range d.statements {
		for _, c := range s.conditions {
			if !slices.Contains(out, c.key) {
				out = append(out, c.key)
			}
		}
	}
	return out
}

// Permissions lists what the document's Allow statements grant, one Use for each pair of an action and a resource.
func (d Document) Permissions() []Use {
	var out []Use
	for _, s := range d.statements {
		for _, a := range s.actions {
			for _, r := range s.resources {
				if s.allow {
					out = append(out, Use{s.id, a, r})
				}
			}
		}
	}
	return out
}
