// SPDX-License-Identifier: Apache-2.0

package cloud

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// Function is another function of the registry, or this one.
type Function struct {
	client *lambda.Client
	name   string
}

// NewFunction returns the function of a name or an ARN.
func NewFunction(c aws.Config, name string) *Function {
	return &Function{client: lambda.NewFromConfig(c), name: name}
}

// Settlement asks functions/finalize to settle a direct upload.
type Settlement struct {
	Tare   string `json:"tare"`   // settle
	Upload string `json:"upload"` // the key of its object
	Turn   int    `json:"turn,omitempty"`
}

// Settle is what a Settlement's Tare says.
const Settle = "settle"

// Invoke has the function called with the event, soon and elsewhere: it does not wait for that. After an error it may be
// called all the same, or not.
func (f *Function) Invoke(ctx context.Context, event any) error {
	payload, err := json.Marshal(event)
	if err != nil {
		return err
	}
	_, err = f.client.Invoke(ctx, &lambda.InvokeInput{
		FunctionName: aws.String(f.name), InvocationType: types.InvocationTypeEvent, Payload: payload,
	})
	if err != nil {
		return fmt.Errorf("invoking %s: %w", f.name, err)
	}
	return nil
}
