// SPDX-License-Identifier: Apache-2.0

// Package template reads the expanded template as far as the cloud on a laptop plays it: functions, routes, rules,
// schedules, and the statements of roles.
package template

import (
	"encoding/json"
	"time"
)

// Stack is what an expanded template describes, with every intrinsic function resolved.
type Stack struct {
	Functions []Function
	Routes    []Route
	Rules     []Rule
	Schedules []Schedule
}

// Function is an AWS::Lambda::Function with its EventInvokeConfig, if it has one.
type Function struct {
	ID          string // logical id
	Name        string // the name by which it is invoked
	ARN         string
	Role        string            // logical id of its AWS::IAM::Role
	Code        string            // the folder of its bootstrap, as the template has it
	Timeout     time.Duration     // absent: 3 s, as CloudFormation says
	Memory      int               // MB; absent: 128
	Environment map[string]string // resolved
	Concurrency int               // ReservedConcurrentExecutions; 0: none is reserved
	Invoke      Invoke
}

// Invoke says how events are handled that are invoked asynchronously.
type Invoke struct {
	Retries   int           // MaximumRetryAttempts; absent: 2
	Age       time.Duration // MaximumEventAgeInSeconds; absent: 6 h
	OnFailure string        // ARN of the failure destination; "": none
}

// Route is an AWS::ApiGatewayV2::Route whose integration is a function.
type Route struct {
	Key      string        // "$default", or a method and a path
	Function string        // logical id
	Timeout  time.Duration // TimeoutInMillis of the integration; absent: 30 s
}

// Rule is an AWS::Events::Rule with a function as its target.
type Rule struct {
	ID       string
	Pattern  json.RawMessage // EventPattern, resolved
	Function string          // logical id
}

// Schedule is an AWS::Scheduler::Schedule with a function as its target.
type Schedule struct {
	ID         string
	Expression string // rate(…) or cron(…)
	Function   string // logical id
	Input      string // the event, as it is sent
	Retries    int    // MaximumRetryAttempts of the schedule; absent: 185
	Enabled    bool
}
