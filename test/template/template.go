// SPDX-License-Identifier: Apache-2.0

// Package template reads template.yaml and knows what must hold in it. It needs nothing but Go; the package gates beside it
// has the programs of others look at what the template expands to.
package template

import (
	"fmt"
	"maps"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Template is a template of SAM or, expanded, of CloudFormation. Intrinsic functions are as JSON writes them: a map with
// the one key Ref or Fn::….
type Template struct {
	Parameters map[string]any
	Conditions map[string]any
	Resources  map[string]Resource
	Outputs    map[string]any
	Wildcards  []Wildcard
}

// Resource is an entry of Resources, with what Globals say of functions.
type Resource struct {
	Type                string
	Condition           string
	DeletionPolicy      string
	UpdateReplacePolicy string
	Properties          map[string]any
}

// Wildcard is a text below Resources that stands for more than one.
type Wildcard struct {
	Path   string
	Text   string
	Reason string // what its comment says after "*:"
}

// Read reads a template. A key that stands twice in one place is an error.
func Read(file string) (Template, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Template{}, err
	}
	return Parse(text)
}

// Parse reads a template from YAML, or from JSON, which is YAML.
func Parse(text []byte) (Template, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return Template{}, err
	}
	if len(root.Content) != 1 {
		return Template{}, fmt.Errorf("a template is one document")
	}
	r := reader{}
	tree, err := r.value(root.Content[0], "")
	if err != nil {
		return Template{}, err
	}
	t := Template{
		Parameters: table(tree, "Parameters"), Conditions: table(tree, "Conditions"),
		Resources: map[string]Resource{}, Outputs: table(tree, "Outputs"), Wildcards: r.wildcards,
	}
	for id, entry := range table(tree, "Resources") {
		kind := word(entry, "Type")
		properties := table(entry, "Properties")
		if kind == serverless {
			properties = merge(table(tree, "Globals", "Function"), properties)
		}
		t.Resources[id] = Resource{
			Type: kind, Properties: properties, Condition: word(entry, "Condition"),
			DeletionPolicy: word(entry, "DeletionPolicy"), UpdateReplacePolicy: word(entry, "UpdateReplacePolicy"),
		}
	}
	return t, nil
}

type reader struct{ wildcards []Wildcard }

// value turns a node into maps, lists and texts, and its short form of a function into the long one.
func (r *reader) value(n *yaml.Node, path string) (any, error) {
	switch n.Kind {
	case yaml.MappingNode:
		return r.mapping(n, path)
	case yaml.SequenceNode:
		list := []any{}
		for i, item := range n.Content {
			v, err := r.value(item, fmt.Sprintf("%s[%d]", path, i))
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return function(n.Tag, list), nil
	case yaml.ScalarNode:
		if strings.HasPrefix(path, ".Resources.") && strings.Contains(n.Value, "*") {
			_, reason, _ := strings.Cut(n.LineComment, "# *:")
			r.wildcards = append(r.wildcards, Wildcard{path, n.Value, strings.TrimSpace(reason)})
		}
		return function(n.Tag, n.Value), nil
	}
	return nil, fmt.Errorf("line %d: CloudFormation reads no anchors", n.Line)
}

func (r *reader) mapping(n *yaml.Node, path string) (any, error) {
	m := map[string]any{}
	for i := 0; i < len(n.Content); i += 2 {
		key := n.Content[i].Value
		if _, twice := m[key]; twice {
			return nil, fmt.Errorf("line %d: %s stands twice", n.Content[i].Line, key)
		}
		v, err := r.value(n.Content[i+1], path+"."+key)
		if err != nil {
			return nil, err
		}
		m[key] = v
	}
	return m, nil
}

// function is the long form of a value with a tag such as !Ref.
func function(tag string, v any) any {
	name, short := strings.CutPrefix(tag, "!")
	if !short || strings.HasPrefix(name, "!") {
		return v
	}
	if s, is := v.(string); is && name == "GetAtt" {
		id, attribute, _ := strings.Cut(s, ".")
		v = []any{id, attribute}
	}
	if name != "Ref" && name != "Condition" {
		name = "Fn::" + name
	}
	return map[string]any{name: v}
}

// merge lays one map over another, maps in them likewise, as SAM does with Globals.
func merge(under, over map[string]any) map[string]any {
	m := maps.Clone(under)
	if m == nil {
		m = map[string]any{}
	}
	for k, v := range over {
		above, isMap := v.(map[string]any)
		below, wasMap := m[k].(map[string]any)
		if isMap && wasMap {
			v = merge(below, above)
		}
		m[k] = v
	}
	return m
}

// at is what stands below a value under a path of keys, nil where there is nothing.
func at(v any, path ...string) any {
	for _, key := range path {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

func table(v any, path ...string) map[string]any {
	m, _ := at(v, path...).(map[string]any)
	return m
}

func word(v any, path ...string) string {
	s, _ := at(v, path...).(string)
	return s
}

// list is a list, or the one value that CloudFormation lets stand for a list of one.
func list(v any, path ...string) []any {
	switch v := at(v, path...).(type) {
	case nil:
		return nil
	case []any:
		return v
	default:
		return []any{v}
	}
}

// target is the logical id that a value refers to by Ref or GetAtt, "" where it refers to none.
func target(v any) string {
	if id := word(v, "Ref"); id != "" {
		return id
	}
	if pair := list(v, "Fn::GetAtt"); len(pair) > 0 {
		id, _ := pair[0].(string)
		return id
	}
	return ""
}
