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

	Roles       []Role
	Buckets     []Bucket
	Tables      []Table
	Queues      []Queue
	Permissions []Permission
	Stages      []Stage
	Logs        []LogGroup
	Outputs     map[string]string // resolved; those whose condition does not hold are left out
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
	LogGroup    string            // name of the log group; absent: /aws/lambda/<name>
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
	ARN      string
	Pattern  json.RawMessage // EventPattern, resolved
	Function string          // logical id
	Dead     string          // ARN of the queue for events that could not be delivered; "": none
}

// Schedule is an AWS::Scheduler::Schedule with a function as its target.
type Schedule struct {
	ID         string
	Expression string // rate(…) or cron(…)
	Function   string // logical id
	Input      string // the event, as it is sent
	Role       string // logical id of the role by which it invokes
	Dead       string // ARN of the queue for events that could not be delivered; "": none
	Retries    int    // MaximumRetryAttempts of the schedule; absent: 185
	Enabled    bool
}

// Role is an AWS::IAM::Role.
type Role struct {
	ID       string
	Name     string
	ARN      string
	Trust    json.RawMessage // AssumeRolePolicyDocument
	Policies []Policy        // inline ones, and those of AWS::IAM::Policy and AWS::IAM::ManagedPolicy that name the role
}

// Policy is a named policy document.
type Policy struct {
	Name     string
	Document json.RawMessage
}

// Bucket is an AWS::S3::Bucket with its policy.
type Bucket struct {
	ID          string
	Name        string
	ARN         string
	EventBridge bool            // it sends its events there
	Versioned   bool            // VersioningConfiguration is Enabled
	AbortDays   int             // AbortIncompleteMultipartUpload of an enabled lifecycle rule, in days; 0: never
	Policy      json.RawMessage // PolicyDocument of its AWS::S3::BucketPolicy; nil: none
}

// Table is an AWS::DynamoDB::Table.
type Table struct {
	ID         string
	Name       string
	ARN        string
	Definition json.RawMessage   // what CreateTable takes, with the name
	HashKey    string            // attribute
	IndexKeys  map[string]string // index to its hash key's attribute
}

// Queue is an AWS::SQS::Queue with its policy.
type Queue struct {
	ID     string
	URL    string
	ARN    string
	Policy json.RawMessage // PolicyDocument of the AWS::SQS::QueuePolicy that names it; nil: none
}

// Permission is an AWS::Lambda::Permission: who may invoke a function beside roles.
type Permission struct {
	ID        string
	Function  string // logical id
	Action    string
	Principal string // of a service
	SourceARN string // "": any
}

// Stage is an AWS::ApiGatewayV2::Stage. A limit of 0 is the account's own.
type Stage struct {
	ID    string
	Name  string
	API   string // logical id
	Burst int    // ThrottlingBurstLimit of the default route settings
	Rate  float64
}

// LogGroup is an AWS::Logs::LogGroup.
type LogGroup struct {
	ID   string
	Name string
	ARN  string
	Days int // RetentionInDays; 0: for ever
}
