// SPDX-License-Identifier: Apache-2.0

package gates

import (
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// account answers what sam asks CloudFormation, Lambda and STS for, so far as a deploy and an invocation go (API references of
// CloudFormation, 2010-05-15, and of Lambda, 2015-03-31). It makes nothing: it keeps what it was told.
type account struct {
	mu         sync.Mutex
	stack      string            // its name, once there is one
	outputs    map[string]string // that it has
	parameters []string          // that its template has
	changes    []url.Values      // of each change set that was made
	done       int               // how many of them were executed
	events     []json.RawMessage // that its function was invoked with
}

func (a *account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if strings.Contains(r.URL.Path, "/functions/") {
		a.lambda(w, r)
		return
	}
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	action, name := r.Form.Get("Action"), r.Form.Get("StackName")
	if action == "GetCallerIdentity" { // of STS
		fmt.Fprint(w, "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>111122223333</Account></GetCallerIdentityResult></GetCallerIdentityResponse>")
		return
	}
	if name != "aws-sam-cli-managed-default" && name != a.stack && action != "CreateChangeSet" {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id %s does not exist</Message></Error></ErrorResponse>", name)
		return
	}
	result, known := a.answer(action, name, r.Form)
	if !known {
		w.WriteHeader(http.StatusNotImplemented)
		fmt.Fprintf(w, "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidAction</Code><Message>%s</Message></Error></ErrorResponse>", action)
		return
	}
	fmt.Fprintf(w, "<%[1]sResponse><%[1]sResult>%[2]s</%[1]sResult></%[1]sResponse>", action, result)
}

// answer is the result of an action, in XML.
func (a *account) answer(action, name string, form url.Values) (result string, known bool) {
	const arn = "arn:aws:cloudformation:eu-west-1:111122223333:"
	switch action {
	case "DescribeStacks":
		outputs, tags, status := a.outputs, "", a.status()
		if name != a.stack { // the bucket that sam makes for itself
			outputs, status = map[string]string{"SourceBucket": "bucket"}, "CREATE_COMPLETE"
			tags = "<member><Key>ManagedStackSource</Key><Value>AwsSamCli</Value></member>"
		}
		var list strings.Builder
		for _, key := range slices.Sorted(maps.Keys(outputs)) {
			fmt.Fprintf(&list, "<member><OutputKey>%s</OutputKey><OutputValue>%s</OutputValue></member>", key, html.EscapeString(outputs[key]))
		}
		return fmt.Sprintf("<Stacks><member><StackName>%[1]s</StackName><StackId>%[2]sstack/%[1]s/1</StackId><CreationTime>2026-01-01T00:00:00Z</CreationTime>"+
			"<StackStatus>%[3]s</StackStatus><Outputs>%[4]s</Outputs><Tags>%[5]s</Tags></member></Stacks>", name, arn, status, list.String(), tags), true
	case "CreateChangeSet":
		a.stack, a.changes = name, append(a.changes, form)
		return fmt.Sprintf("<Id>%[1]schangeSet/c/%[2]d</Id><StackId>%[1]sstack/%[3]s/1</StackId>", arn, len(a.changes), name), true
	case "DescribeChangeSet":
		return "<Status>CREATE_COMPLETE</Status><ExecutionStatus>AVAILABLE</ExecutionStatus><Changes><member><Type>Resource</Type><ResourceChange>" +
			"<Action>Add</Action><LogicalResourceId>Table</LogicalResourceId><ResourceType>AWS::DynamoDB::Table</ResourceType></ResourceChange></member></Changes>", true
	case "ExecuteChangeSet":
		a.done = len(a.changes)
		return "", true
	case "DescribeStackEvents":
		at := time.Date(2026, 1, 1, 0, a.done, 0, 0, time.UTC).Format(time.RFC3339)
		return fmt.Sprintf("<StackEvents><member><EventId>e%[1]d</EventId><StackId>%[2]sstack/%[3]s/1</StackId><StackName>%[3]s</StackName><LogicalResourceId>%[3]s</LogicalResourceId>"+
			"<PhysicalResourceId>%[2]sstack/%[3]s/1</PhysicalResourceId><ResourceType>AWS::CloudFormation::Stack</ResourceType><Timestamp>%[4]s</Timestamp>"+
			"<ResourceStatus>%[5]s</ResourceStatus></member></StackEvents>", a.done, arn, a.stack, at, a.status()), true
	case "GetTemplateSummary":
		var list strings.Builder
		for _, parameter := range a.parameters {
			fmt.Fprintf(&list, "<member><ParameterKey>%s</ParameterKey></member>", parameter)
		}
		return "<Parameters>" + list.String() + "</Parameters>", true
	case "ListStackResources":
		return "<StackResourceSummaries><member><LogicalResourceId>Api</LogicalResourceId><PhysicalResourceId>tare-Api-1</PhysicalResourceId><ResourceType>AWS::Lambda::Function</ResourceType>" +
			"<ResourceStatus>CREATE_COMPLETE</ResourceStatus><LastUpdatedTimestamp>2026-01-01T00:00:00Z</LastUpdatedTimestamp></member></StackResourceSummaries>", true
	}
	return "", false
}

func (a *account) status() string {
	switch a.done {
	case 0:
		return "REVIEW_IN_PROGRESS"
	case 1:
		return "CREATE_COMPLETE"
	}
	return "UPDATE_COMPLETE"
}

// lambda takes an event of tare-Api-1, which has no URL.
func (a *account) lambda(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	var event json.RawMessage
	switch call := strings.TrimPrefix(r.URL.Path, "/2015-03-31/functions/tare-Api-1/"); {
	case call == "configuration":
		fmt.Fprint(w, `{"FunctionName":"tare-Api-1"}`)
	case call == "invocations" && json.NewDecoder(r.Body).Decode(&event) == nil:
		a.events = append(a.events, event)
		fmt.Fprint(w, `{"name":"me","token":"shown once"}`)
	default:
		w.Header().Set("X-Amzn-Errortype", "ResourceNotFoundException")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"Message":"there is none"}`)
	}
}

// parameters are those of a request for a change set: their values, or "(as before)".
func parameters(change url.Values) map[string]string {
	all := map[string]string{}
	for i := 1; change.Has(fmt.Sprintf("Parameters.member.%d.ParameterKey", i)); i++ {
		member := fmt.Sprintf("Parameters.member.%d.", i)
		value := change.Get(member + "ParameterValue")
		if change.Get(member+"UsePreviousValue") == "true" {
			value = "(as before)"
		}
		all[change.Get(member+"ParameterKey")] = value
	}
	return all
}
