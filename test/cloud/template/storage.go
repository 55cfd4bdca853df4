// SPDX-License-Identifier: Apache-2.0

package template

import (
	"encoding/json"
	"fmt"
	"slices"
)

func (b *builder) bucket(id string) error {
	var p struct {
		VersioningConfiguration   struct{ Status string }
		NotificationConfiguration struct {
			EventBridgeConfiguration *struct{ EventBridgeEnabled *truth }
		}
		LifecycleConfiguration struct {
			Rules []struct {
				Status                         string
				AbortIncompleteMultipartUpload struct{ DaysAfterInitiation number }
			}
		}
	}
	if err := b.properties(id, &p); err != nil {
		return err
	}
	name, arn, err := b.names(id)
	if err != nil {
		return err
	}
	out := Bucket{ID: id, Name: name, ARN: arn, Versioned: p.VersioningConfiguration.Status == "Enabled"}
	if e := p.NotificationConfiguration.EventBridgeConfiguration; e != nil {
		out.EventBridge = e.EventBridgeEnabled == nil || bool(*e.EventBridgeEnabled)
	}
	for _, rule := range p.LifecycleConfiguration.Rules {
		if days := rule.AbortIncompleteMultipartUpload.DaysAfterInitiation.or(0); rule.Status == "Enabled" && days > 0 {
			out.AbortDays = days
		}
	}
	b.stack.Buckets = append(b.stack.Buckets, out)
	return nil
}

func (b *builder) bucketPolicy(id string) error {
	var p struct {
		Bucket         string
		PolicyDocument json.RawMessage
	}
	if err := b.properties(id, &p); err != nil {
		return err
	}
	i := slices.IndexFunc(b.stack.Buckets, func(x Bucket) bool { return x.Name == p.Bucket })
	if i < 0 || b.stack.Buckets[i].Policy != nil {
		return fmt.Errorf("%q is no bucket of this stack, or it has a policy already", p.Bucket)
	}
	b.stack.Buckets[i].Policy = p.PolicyDocument
	return nil
}

type keySchema []struct{ AttributeName, KeyType string }

func (k keySchema) hash() string {
	for _, key := range k {
		if key.KeyType == "HASH" {
			return key.AttributeName
		}
	}
	return ""
}

// The properties of a table that CreateTable takes as they are, and those that it does not take, or that change nothing on
// a laptop. Any other is an error.
var (
	tableTaken   = [...]string{"AttributeDefinitions", "KeySchema", "BillingMode", "GlobalSecondaryIndexes", "LocalSecondaryIndexes"}
	tableIgnored = [...]string{
		"TableName", "PointInTimeRecoverySpecification", "DeletionProtectionEnabled", "SSESpecification", "Tags", "TableClass",
		"ContributorInsightsSpecification", "OnDemandThroughput",
	}
)

func (b *builder) table(id string) error {
	var all map[string]json.RawMessage
	if err := b.properties(id, &all); err != nil {
		return err
	}
	name, arn, err := b.names(id)
	if err != nil {
		return err
	}
	definition := map[string]any{"TableName": name}
	for property, v := range all {
		switch {
		case slices.Contains(tableTaken[:], property):
			definition[property] = v
		case !slices.Contains(tableIgnored[:], property):
			return fmt.Errorf("the property %s is not known here", property)
		}
	}
	var keys struct {
		KeySchema              keySchema
		GlobalSecondaryIndexes []struct {
			IndexName string
			KeySchema keySchema
		}
	}
	if err := b.properties(id, &keys); err != nil {
		return err
	}
	out := Table{ID: id, Name: name, ARN: arn, HashKey: keys.KeySchema.hash(), IndexKeys: map[string]string{}}
	for _, index := range keys.GlobalSecondaryIndexes {
		out.IndexKeys[index.IndexName] = index.KeySchema.hash()
	}
	if out.Definition, err = json.Marshal(definition); err != nil {
		return err
	}
	b.stack.Tables = append(b.stack.Tables, out)
	return nil
}

func (b *builder) queue(id string) error {
	_, arn, err := b.names(id)
	if err != nil {
		return err
	}
	url, err := b.in.value(map[string]any{"Ref": id}, 0)
	if err != nil {
		return err
	}
	text, ok := scalar(url)
	if !ok {
		return fmt.Errorf("the address of the queue is %v", url)
	}
	b.stack.Queues = append(b.stack.Queues, Queue{ID: id, URL: text, ARN: arn})
	return nil
}

func (b *builder) queuePolicy(id string) error {
	var p struct {
		Queues         []string
		PolicyDocument json.RawMessage
	}
	if err := b.properties(id, &p); err != nil {
		return err
	}
	for _, url := range p.Queues {
		i := slices.IndexFunc(b.stack.Queues, func(q Queue) bool { return q.URL == url })
		if i < 0 || b.stack.Queues[i].Policy != nil {
			return fmt.Errorf("%q is no queue of this stack, or it has a policy already", url)
		}
		b.stack.Queues[i].Policy = p.PolicyDocument
	}
	return nil
}
