// SPDX-License-Identifier: Apache-2.0

package template

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

func (b *builder) logGroup(id string) error {
	var p struct{ RetentionInDays number }
	if err := b.properties(id, &p); err != nil {
		return err
	}
	name, arn, err := b.names(id)
	b.stack.Logs = append(b.stack.Logs, LogGroup{id, name, strings.TrimSuffix(arn, ":*"), p.RetentionInDays.or(0)})
	return err
}

func (b *builder) function(id string) error {
	var p struct {
		Role          string
		Code          struct{ S3Bucket, S3Key string }
		Timeout       number
		MemorySize    number
		Environment   struct{ Variables map[string]string }
		LoggingConfig struct{ LogGroup string }

		ReservedConcurrentExecutions number
	}
	if err := b.properties(id, &p); err != nil {
		return err
	}
	name, arn, err := b.names(id)
	if err != nil {
		return err
	}
	role, err := b.roleOf(p.Role)
	if err != nil {
		return err
	}
	f := Function{
		ID: id, Name: name, ARN: arn, Role: role.ID,
		Code:        p.Code.S3Key,
		Timeout:     time.Duration(p.Timeout.or(3)) * time.Second,
		Memory:      p.MemorySize.or(128),
		Environment: p.Environment.Variables,
		Concurrency: p.ReservedConcurrentExecutions.or(0),
		LogGroup:    p.LoggingConfig.LogGroup,
		Invoke:      Invoke{Retries: 2, Age: 6 * time.Hour},
	}
	if f.LogGroup == "" {
		f.LogGroup = "/aws/lambda/" + name
	}
	b.stack.Functions = append(b.stack.Functions, f)
	return nil
}

func (b *builder) invoke(id string) error {
	var p struct {
		FunctionName             string
		MaximumRetryAttempts     number
		MaximumEventAgeInSeconds number
		DestinationConfig        struct {
			OnFailure struct{ Destination string }
			OnSuccess struct{ Destination string }
		}
	}
	if err := b.properties(id, &p); err != nil {
		return err
	}
	function, err := b.functionOf(p.FunctionName)
	if err != nil {
		return err
	}
	if p.DestinationConfig.OnSuccess.Destination != "" {
		return errors.New("a destination of successes is not played")
	}
	i := slices.IndexFunc(b.stack.Functions, func(f Function) bool { return f.ID == function })
	b.stack.Functions[i].Invoke = Invoke{
		Retries:   p.MaximumRetryAttempts.or(2),
		Age:       time.Duration(p.MaximumEventAgeInSeconds.or(6*3600)) * time.Second,
		OnFailure: p.DestinationConfig.OnFailure.Destination,
	}
	return nil
}

func (b *builder) permission(id string) error {
	var p struct{ FunctionName, Action, Principal, SourceArn string }
	if err := b.properties(id, &p); err != nil {
		return err
	}
	function, err := b.functionOf(p.FunctionName)
	b.stack.Permissions = append(b.stack.Permissions, Permission{id, function, p.Action, p.Principal, p.SourceArn})
	return err
}

func (b *builder) gateway(id string) error {
	var p struct {
		ProtocolType   string
		Body           any
		BodyS3Location any
	}
	if err := b.properties(id, &p); err != nil {
		return err
	}
	if p.ProtocolType != "HTTP" || p.Body != nil || p.BodyS3Location != nil {
		return errors.New("only an HTTP API is played whose routes are resources of their own")
	}
	return nil
}

func (b *builder) integration(id string) error {
	var p struct {
		IntegrationType, IntegrationUri, PayloadFormatVersion string

		TimeoutInMillis number
	}
	if err := b.properties(id, &p); err != nil {
		return err
	}
	if p.IntegrationType != "AWS_PROXY" || p.PayloadFormatVersion != "2.0" {
		return fmt.Errorf("an integration %s with payload %q is not played", p.IntegrationType, p.PayloadFormatVersion)
	}
	arn := p.IntegrationUri
	if _, path, ok := strings.Cut(arn, ":lambda:path/2015-03-31/functions/"); ok {
		arn = strings.TrimSuffix(path, "/invocations")
	}
	name, _, err := b.names(id)
	if err != nil {
		return err
	}
	function, err := b.functionOf(arn)
	b.api[name] = integration{function, time.Duration(p.TimeoutInMillis.or(30_000)) * time.Millisecond}
	return err
}

func (b *builder) route(id string) error {
	var p struct{ RouteKey, Target, AuthorizationType string }
	if err := b.properties(id, &p); err != nil {
		return err
	}
	target, ok := b.api[strings.TrimPrefix(p.Target, "integrations/")]
	if !ok {
		return fmt.Errorf("%q is no integration of this stack", p.Target)
	}
	if p.AuthorizationType != "" && p.AuthorizationType != "NONE" {
		return fmt.Errorf("authorization by %s is not played", p.AuthorizationType)
	}
	b.stack.Routes = append(b.stack.Routes, Route{p.RouteKey, target.function, target.timeout})
	return nil
}

func (b *builder) stage(id string) error {
	var p struct {
		ApiId                string
		DefaultRouteSettings struct{ ThrottlingBurstLimit, ThrottlingRateLimit number }
		RouteSettings        any
	}
	if err := b.properties(id, &p); err != nil {
		return err
	}
	if p.RouteSettings != nil {
		return errors.New("settings of single routes are not played")
	}
	name, _, err := b.names(id)
	if err != nil {
		return err
	}
	for api, res := range b.in.resources {
		if res.Type != "AWS::ApiGatewayV2::Api" {
			continue
		}
		if physical, _, err := b.names(api); err == nil && physical == p.ApiId {
			limits := p.DefaultRouteSettings
			b.stack.Stages = append(b.stack.Stages, Stage{id, name, api, limits.ThrottlingBurstLimit.or(0), limits.ThrottlingRateLimit.value})
			return nil
		}
	}
	return fmt.Errorf("%q is no API of this stack", p.ApiId)
}
