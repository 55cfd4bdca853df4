// SPDX-License-Identifier: Apache-2.0

// Package policy evaluates statements of IAM, as far as the template uses them: the roles' own and the bucket's. It
// assumes one account, and neither service control policies, boundaries nor sessions with policies of their own. What it
// does not know (an element, an operator, a variable) is refused when a document is read and never when a request is
// judged, so that no answer is a guess.
//
// The rules are those of the IAM User Guide, "Policy evaluation logic" and "IAM JSON policy elements reference", 2026-11.
package policy

import (
	"strings"
)

// Request is one action on one resource.
type Request struct {
	Principal string              // ARN of the role
	Action    string              // as s3:GetObject
	Resource  string              // ARN
	Context   map[string][]string // condition keys; their names compare without case
}

// Use is a permission that let a request pass: an action and a resource, as its statement has them.
type Use struct {
	Statement string
	Action    string
	Resource  string
}

// Decision tells whether a request may pass.
type Decision struct {
	Allowed bool
	Denied  string // the statement that denies it; "": none does, and if it is not allowed, then because nothing allows it
	Uses    []Use  // all permissions that allow it
	Denials []Use  // all that deny it
}

// Evaluate judges a request by the documents of its role and by that of the resource, if it has one. An explicit Deny
// wins; in one account an Allow of either is enough; without one the answer is no.
func Evaluate(r Request, role []Document, resource *Document) Decision {
	var d Decision
	lower := make(map[string][]string, len(r.Context))
	for k, v := range r.Context {
		lower[strings.ToLower(k)] = v
	}
	r.Context = lower
	for i := range role {
		d.take(r, &role[i])
	}
	if resource != nil {
		d.take(r, resource)
	}
	d.Allowed = len(d.Uses) > 0 && len(d.Denials) == 0
	if len(d.Denials) > 0 {
		d.Denied, d.Uses = d.Denials[0].Statement, nil
	}
	return d
}

// take adds what the statements of a document say.
func (d *Decision) take(r Request, doc *Document) {
	for i := range doc.statements {
		s := &doc.statements[i]
		if !s.concerns(r.Principal) || !s.holds(r.Context) {
			continue
		}
		for _, action := range s.actions {
			if !glob(strings.ToLower(action), strings.ToLower(r.Action)) {
				continue
			}
			for _, resource := range s.resources {
				if !matchARN(resource, r.Resource) {
					continue
				}
				use := Use{s.id, action, resource}
				if s.allow {
					d.Uses = append(d.Uses, use)
				} else {
					d.Denials = append(d.Denials, use)
				}
			}
		}
	}
}

// concerns tells whether the statement is about the principal. A role's own statements are about itself.
func (s *statement) concerns(principal string) bool {
	if s.principals == nil {
		return true
	}
	for _, p := range s.principals {
		if p == "*" || p == principal {
			return true
		}
	}
	return false
}

// holds tells whether all conditions hold.
func (s *statement) holds(context map[string][]string) bool {
	for _, c := range s.conditions {
		if !c.holds(context) {
			return false
		}
	}
	return true
}

// matchARN matches an ARN against a pattern: segment by segment, with case, where * and ? match no colon except in the
// last segment.
func matchARN(pattern, arn string) bool {
	if pattern == "*" {
		return true
	}
	p, a := strings.SplitN(pattern, ":", segments), strings.SplitN(arn, ":", segments)
	if len(p) != len(a) {
		return false
	}
	for i := range p {
		if !glob(p[i], a[i]) {
			return false
		}
	}
	return true
}

// segments is how many parts an ARN has.
const segments = 6

// glob matches text against a pattern in which * is any text and ? any character.
func glob(pattern, text string) bool {
	p, t := []rune(pattern), []rune(text)
	i, j := 0, 0
	star, mark := -1, 0 // the last *, and where its text ends so far
	for j < len(t) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == t[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}
