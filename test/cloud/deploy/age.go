// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// firstMilli is September 2001 in milliseconds since 1970: a number of a row that is larger is a time, since no count and no
// size is that large.
const firstMilli = 1_000_000_000_000

// Age makes all that the table keeps older by d: every time in every row goes back. The clock of the functions is the machine's,
// which nobody can set; to them it is as if so much time had passed while nobody did anything. Nothing may be under way, and
// nothing does so while it works. Times that are not in rows, as in the ids of uploads that clients have, stay.
func (d *Deployment) Age(ctx context.Context, by time.Duration) error {
	var start json.RawMessage
	for {
		request := map[string]any{"TableName": d.Engines.Table, "ConsistentRead": true}
		if start != nil {
			request["ExclusiveStartKey"] = start
		}
		var page struct {
			Items            []map[string]map[string]json.RawMessage
			LastEvaluatedKey json.RawMessage
		}
		if err := d.ask(ctx, "Scan", request, &page); err != nil {
			return err
		}
		for _, item := range page.Items {
			changed, err := older(item, by)
			if err != nil {
				return err
			}
			if !changed {
				continue
			}
			if err := d.ask(ctx, "PutItem", map[string]any{"TableName": d.Engines.Table, "Item": item}, nil); err != nil {
				return err
			}
		}
		if start = page.LastEvaluatedKey; start == nil {
			return nil
		}
	}
}

// older takes d from the times of an item and tells whether it has any.
func older(item map[string]map[string]json.RawMessage, d time.Duration) (changed bool, err error) {
	for name, value := range item {
		raw, ok := value["N"]
		if !ok {
			continue
		}
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return false, fmt.Errorf("attribute %s: %w", name, err)
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return false, fmt.Errorf("attribute %s: %w", name, err)
		}
		if n >= firstMilli {
			value["N"] = json.RawMessage(strconv.Quote(strconv.FormatInt(n-d.Milliseconds(), 10)))
			changed = true
		}
	}
	return changed, nil
}

// ask calls the stand-in of DynamoDB itself, and reads its answer into out, unless that is nil.
func (d *Deployment) ask(ctx context.Context, operation string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.Engines.DynamoDB, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	if err := sign(ctx, r, body, "dynamodb", owner); err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", operation, response.Status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}
