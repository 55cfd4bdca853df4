// SPDX-License-Identifier: Apache-2.0

package template

import (
	"encoding/json"
	"errors"
)

func (b *builder) role(id string) error {
	var p struct {
		AssumeRolePolicyDocument json.RawMessage
		PermissionsBoundary      any
		ManagedPolicyArns        []string
		Policies                 []struct {
			PolicyName     string
			PolicyDocument json.RawMessage
		}
	}
	if err := b.properties(id, &p); err != nil {
		return err
	}
	if p.PermissionsBoundary != nil {
		return errors.New("a permissions boundary is not evaluated here")
	}
	for _, arn := range p.ManagedPolicyArns {
		if !b.ours(arn) {
			return errors.New("the text of " + arn + " is not in the template, so nobody can tell what it permits")
		}
	}
	name, arn, err := b.names(id)
	role := Role{ID: id, Name: name, ARN: arn, Trust: p.AssumeRolePolicyDocument}
	for _, policy := range p.Policies {
		role.Policies = append(role.Policies, Policy{policy.PolicyName, policy.PolicyDocument})
	}
	b.stack.Roles = append(b.stack.Roles, role)
	return err
}

// ours tells whether a managed policy is one of this stack. It is read with its own resource.
func (b *builder) ours(arn string) bool {
	for id, res := range b.in.resources {
		if res.Type == "AWS::IAM::ManagedPolicy" {
			if ref, err := b.in.physical(b.in, id, "", 0); err == nil && ref == arn {
				return true
			}
		}
	}
	return false
}

// policy is an AWS::IAM::Policy: an inline one that is a resource of its own.
func (b *builder) policy(id string) error {
	var p struct {
		PolicyName     string
		PolicyDocument json.RawMessage
		Roles          []string
		Users, Groups  []string
	}
	if err := b.properties(id, &p); err != nil {
		return err
	}
	if len(p.Users)+len(p.Groups) > 0 || len(p.Roles) == 0 {
		return errors.New("a policy of users or groups, or of nobody, is not evaluated here")
	}
	for _, name := range p.Roles {
		role, err := b.roleOf(name)
		if err != nil {
			return err
		}
		role.Policies = append(role.Policies, Policy{p.PolicyName, p.PolicyDocument})
	}
	return nil
}

func (b *builder) managedPolicy(id string) error {
	var p struct {
		PolicyDocument json.RawMessage
		Roles          []string
	}
	if err := b.properties(id, &p); err != nil {
		return err
	}
	ref, err := b.in.physical(b.in, id, "", 0)
	if err != nil {
		return err
	}
	for i := range b.stack.Roles {
		role := &b.stack.Roles[i]
		var has struct{ ManagedPolicyArns []string }
		if err := b.properties(role.ID, &has); err != nil {
			return err
		}
		for _, name := range append(has.ManagedPolicyArns, p.Roles...) {
			if name == ref || name == role.Name {
				role.Policies = append(role.Policies, Policy{id, p.PolicyDocument})
				break
			}
		}
	}
	return nil
}
