// SPDX-License-Identifier: Apache-2.0

package template

import (
	"encoding/json"
	"fmt"
)

func (b *builder) rule(id string) error {
	var p struct {
		EventPattern       json.RawMessage
		ScheduleExpression string
		State              string
		Targets            []struct {
			Arn              string
			Input, InputPath string
			InputTransformer any
			RoleArn          string
			DeadLetterConfig struct{ Arn string }
		}
	}
	if err := b.properties(id, &p); err != nil {
		return err
	}
	if p.EventPattern == nil || p.ScheduleExpression != "" {
		return fmt.Errorf("a rule without a pattern is not played")
	}
	if p.State == "DISABLED" {
		return nil
	}
	_, arn, err := b.names(id)
	if err != nil {
		return err
	}
	for _, t := range p.Targets {
		if t.Input != "" || t.InputPath != "" || t.InputTransformer != nil || t.RoleArn != "" {
			return fmt.Errorf("a target that changes its event, or has a role, is not played")
		}
		function, err := b.functionOf(t.Arn)
		if err != nil {
			return err
		}
		b.stack.Rules = append(b.stack.Rules, Rule{id, arn, p.EventPattern, function, t.DeadLetterConfig.Arn})
	}
	return nil
}

func (b *builder) schedule(id string) error {
	var p struct {
		ScheduleExpression string
		State              string
		Target             struct {
			Arn, RoleArn, Input string
			RetryPolicy         struct{ MaximumRetryAttempts number }
			DeadLetterConfig    struct{ Arn string }
		}
	}
	if err := b.properties(id, &p); err != nil {
		return err
	}
	function, err := b.functionOf(p.Target.Arn)
	if err != nil {
		return err
	}
	role, err := b.roleOf(p.Target.RoleArn)
	if err != nil {
		return err
	}
	b.stack.Schedules = append(b.stack.Schedules, Schedule{
		ID: id, Expression: p.ScheduleExpression, Function: function, Input: p.Target.Input, Role: role.ID, Dead: p.Target.DeadLetterConfig.Arn,
		Retries: p.Target.RetryPolicy.MaximumRetryAttempts.or(185), Enabled: p.State != "DISABLED",
	})
	return nil
}
