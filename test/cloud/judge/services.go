// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"errors"
	"fmt"
	"strings"

	"tare/test/cloud/policy"
	"tare/test/cloud/template"
)

// Services judges what AWS itself does for the stack, once, as if it had to at the start: Lambda writes logs and sends
// failed events in the name of a function's role, the scheduler invokes in the name of its own, and rules and the HTTP API
// need a permission of the function. The error names all that is missing.
func (j *Judge) Services() error {
	var errs []error
	for _, f := range j.config.Stack.Functions {
		s := j.config.Setting
		stream := fmt.Sprintf("arn:%s:logs:%s:%s:log-group:%s:log-stream:s", s.Partition, s.Region, s.Account, f.LogGroup)
		errs = append(errs, j.Ask(f.ID, "logs:CreateLogStream", stream), j.Ask(f.ID, "logs:PutLogEvents", stream), j.send(f.ID, f.Invoke.OnFailure))
	}
	for _, c := range j.config.Stack.Schedules {
		f := j.function(c.Function)
		errs = append(errs, j.Ask(c.Role, "lambda:InvokeFunction", f), j.send(c.Role, c.Dead))
	}
	for _, r := range j.config.Stack.Rules {
		errs = append(errs, j.permitted(r.Function, "events.amazonaws.com", r.ARN), j.buried(r))
	}
	for _, r := range j.config.Stack.Routes {
		errs = append(errs, j.permitted(r.Function, "apigateway.amazonaws.com", ""))
	}
	return errors.Join(errs...)
}

// send judges that an event is sent to a destination; "" is none.
func (j *Judge) send(who, destination string) error {
	switch {
	case destination == "":
		return nil
	case strings.Contains(destination, ":sqs:"):
		return j.Ask(who, "sqs:SendMessage", destination)
	case strings.Contains(destination, ":sns:"):
		return j.Ask(who, "sns:Publish", destination)
	default:
		return fmt.Errorf("%s: what it takes to send to %s is not known here", who, destination)
	}
}

// buried tells whether a rule may send what it cannot deliver to its queue, which a policy of the queue has to say.
func (j *Judge) buried(r template.Rule) error {
	if r.Dead == "" {
		return nil
	}
	const service, action = "events.amazonaws.com", "sqs:SendMessage"
	refusal := Refusal{Kind: Permission, Actor: service, Action: action, Resource: r.Dead, Why: "the queue's policy does not allow it"}
	for _, q := range j.config.Stack.Queues {
		if q.ARN != r.Dead || q.Policy == nil {
			continue
		}
		doc, err := policy.Parse(q.ID, q.Policy, policy.OfResource)
		if err != nil {
			return err
		}
		d := policy.Evaluate(policy.Request{Principal: service, Action: action, Resource: q.ARN, Context: map[string][]string{"aws:sourcearn": {r.ARN}}}, nil, &doc)
		if d.Allowed {
			return nil
		}
	}
	j.refuse(refusal)
	return fmt.Errorf("%w: %v", errRefused, refusal)
}

// function gives a function's ARN.
func (j *Judge) function(id string) string {
	for _, f := range j.config.Stack.Functions {
		if f.ID == id {
			return f.ARN
		}
	}
	return ""
}

// permitted tells whether a service may invoke a function, for a source; "" is one whose ARN is a pattern.
func (j *Judge) permitted(function, service, source string) error {
	for _, p := range j.config.Stack.Permissions {
		if p.Function == function && p.Principal == service && p.Action == "lambda:InvokeFunction" && (source == "" || p.SourceARN == "" || p.SourceARN == source) {
			return nil
		}
	}
	r := Refusal{Kind: Permission, Actor: service, Action: "lambda:InvokeFunction", Resource: j.function(function), Why: "the function has no permission for it"}
	j.refuse(r)
	return fmt.Errorf("%w: %v", errRefused, r)
}
