// SPDX-License-Identifier: Apache-2.0

package template

import (
	"fmt"
	"strings"
)

// Fault is a change of template.yaml that a gate has to find.
type Fault struct {
	Name string
	Old  string // what stands in the template; its first occurrence goes
	New  string // what comes in its place
	Gate Gate
	Says string // a part of what the gate says
}

// Gate is what looks at a template.
type Gate string

// The gates. What each cannot see is why there are four: SAM's own check passes a cycle and actions that do not exist.
const (
	Invariants Gate = "invariants" // Check
	SAM        Gate = "sam"        // sam validate --lint, of the template
	Lint       Gate = "cfn-lint"   // of the expanded template
	Parliament Gate = "parliament" // of the statements of the expanded template
)

// Plant gives the text of a template with the fault in it.
func (f Fault) Plant(template string) (string, error) {
	if !strings.Contains(template, f.Old) {
		return "", fmt.Errorf("%s: the template has no %q", f.Name, f.Old)
	}
	return strings.Replace(template, f.Old, f.New, 1), nil
}

// Faults are those that each gate must find. A gate that is replaced, or a new version of one, has to find them again.
func Faults() []Fault {
	const (
		ownLogs  = "Resource: !GetAtt ApiLogs.Arn"
		absence  = "Action: s3:ListBucket\n                Resource: !GetAtt Bucket.Arn"
		goOn     = "  FinalizeGoesOn:\n"
		apiTable = "          TARE_TABLE: !If [Adopted, !Ref ExistingTable, !Ref Table]\n"
	)
	return []Fault{
		{"a cycle", "              - Sid: Failures\n", "              - {Sid: Self, Effect: Allow, Action: lambda:InvokeFunction, Resource: !GetAtt Finalize.Arn}\n              - Sid: Failures\n", Lint, "E3004"},
		{"an action of no item", "- dynamodb:BatchGetItem", "- dynamodb:TransactWriteItems", Lint, "W3037"},
		{"an action of no item", "- dynamodb:BatchGetItem", "- dynamodb:TransactWriteItems", Parliament, "UNKNOWN_ACTION"},
		{"HEAD is no action", "- s3:GetObject\n", "- s3:HeadObject\n", Lint, "W3037"},
		{"HEAD is no action", "- s3:GetObject\n", "- s3:HeadObject\n", Parliament, "UNKNOWN_ACTION"},
		{"a list of objects", absence, "Action: s3:ListBucket\n                Resource: !Sub \"${Bucket.Arn}/*\" # *: a fault", Parliament, "RESOURCE_MISMATCH"},
		{"a key that is misspelt", absence, absence + "\n                Condition: {\"ForAllValues:StringEquals\": {\"dynamodb:LeadingKey\": a}}", Parliament, "UNKNOWN_CONDITION"},
		{"a right on everything", absence, "Action: s3:ListBucket\n                Resource: \"*\" # *: a fault", Parliament, "RESOURCE_STAR"},
		{"a right on everything", absence, "Action: s3:ListBucket\n                Resource: \"*\" # *: a fault", Invariants, "on everything"},
		{"a wildcard without a reason", "\"${Bucket.Arn}/o*\" # *: the random rest of an object's key", "\"${Bucket.Arn}/o*\"", Invariants, "no reason"},
		{"all actions", "- s3:GetObject\n", "- s3:* # *: a fault\n", Invariants, "gives s3:*"},
		{"a reference to nothing", "!Ref ApiLogs", "!Ref ApiLog", Lint, "ApiLog"},
		{"a property of none", "BillingMode: PAY_PER_REQUEST", "BillingModel: PAY_PER_REQUEST", SAM, "BillingModel"},
		{"a variable that is not set", apiTable, "", Invariants, "Api reads TARE_TABLE"},
		{"a variable that nobody reads", apiTable, apiTable + "          TARE_PRINCIPLE: \"on\"\n", Invariants, "Api has TARE_PRINCIPLE"},
		{"a renamed table", "  Table:\n", "  Rows:\n", Invariants, "Table was released"},
		{"another key", "{AttributeName: sk, KeyType: RANGE}", "{AttributeName: due, KeyType: RANGE}", Invariants, "other keys"},
		{"a table that goes", "DeletionPolicy: RetainExceptOnCreate", "DeletionPolicy: Delete", Invariants, "not retained"},
		{"a table without a way back", "PointInTimeRecoveryEnabled: true", "PointInTimeRecoveryEnabled: false", Invariants, "cannot be restored"},
		{"a bucket for everybody", "BlockPublicPolicy: true", "BlockPublicPolicy: false", Invariants, "is public"},
		{"everybody may read", "Effect: Deny\n", "Effect: Allow\n", Invariants, "lets everybody in"},
		{"a bucket in the clear", "{\"aws:SecureTransport\": \"false\"}", "{\"aws:SecureTransport\": \"true\"}", Invariants, "without TLS"},
		{"every object an event", "                reason: [CompleteMultipartUpload]\n", "", Invariants, "hears of"},
		{"a function without an alarm", "Dimensions: [{Name: FunctionName, Value: !Ref Gc}]", "Dimensions: [{Name: FunctionName, Value: !Ref Api}]", Invariants, "Gc has no alarm"},
		{"a price of idleness", "    Type: AWS::CloudWatch::Alarm\n    Condition: Alarmed\n", "    Type: AWS::CloudWatch::Alarm\n", Invariants, "costs money"},
		{"another's logs", ownLogs, "Resource: !GetAtt GcLogs.Arn", Invariants, "may write to"},
		{"another's role", "Role: !GetAtt GcRole.Arn", "Role: !GetAtt ApiRole.Arn", Invariants, "has the role of"},
		{"a role that SAM makes", "      Role: !GetAtt GcRole.Arn\n", "", Invariants, "has no role"},
		{"logs for ever", "Properties: {RetentionInDays: 30}", "Properties: {}", Invariants, "no log group"},
		{"lost events", "          OnFailure: {Type: SQS, Destination: !GetAtt Failures.Arn}", "          OnSuccess: {Type: SQS, Destination: !GetAtt Failures.Arn}", Invariants, "no failure destination"},
		{"undelivered events", "            DeadLetterConfig: {Arn: !GetAtt Failures.Arn}\n", "", Invariants, "no dead-letter queue"},
		{"one schedule for all stacks", "OmitName: true", "OmitName: false", Invariants, "named after"},
		{"a name for all stacks", goOn, "  Named:\n    Type: AWS::SQS::Queue\n    Properties: {QueueName: tare}\n" + goOn, Invariants, "QueueName of its own"},
		{"an id that is not released", goOn, "  Another:\n    Type: AWS::SQS::Queue\n" + goOn, Invariants, "not in released.json"},
		{"a sixth parameter", "  AlarmEmail:\n", "  Sixth: {Type: String, Default: a, Description: b}\n  AlarmEmail:\n", Invariants, "more than 5"},
		{"a parameter that must be answered", "    Default: 0\n", "", Invariants, "no default"},
		{"a door of its own", goOn, "  Url:\n    Type: AWS::Lambda::Url\n    Properties: {AuthType: NONE, TargetFunctionArn: !Ref Api}\n" + goOn, Invariants, "a door of its own"},
		{"any gateway", "      SourceArn: !Sub \"arn:", "      Nothing: !Sub \"arn:", Invariants, "whoever comes"},
		{"a program of the deploy", goOn, "  First:\n    Type: Custom::Credential\n    Properties: {ServiceToken: !GetAtt Api.Arn}\n" + goOn, Invariants, "a program of the deploy"},
		{"a door that asks", "        Completed:\n", "        Front: {Type: HttpApi, Properties: {DeadLetterConfig: {Arn: !GetAtt Failures.Arn}}}\n        Completed:\n", Invariants, "ask whether"},
	}
}
