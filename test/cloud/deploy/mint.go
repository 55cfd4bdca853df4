// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// Invoke invokes a function by Lambda's own API as whoever deploys, and returns what it said. An error of the function is
// an error.
func (d *Deployment) Invoke(ctx context.Context, function string, event []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost,
		d.API+"/2015-03-31/functions/"+url.PathEscape(function)+"/invocations", bytes.NewReader(event))
	if err != nil {
		return nil, err
	}
	if err := sign(ctx, r, event, "lambda", d.deployer()); err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 != 2 || response.Header.Get("X-Amz-Function-Error") != "" {
		return nil, fmt.Errorf("%s: %s: %s", function, response.Status, answer)
	}
	return answer, nil
}

// Credential is one that the registry has minted. Its token is the password.
type Credential struct {
	Name  string
	Token string
}

// payload is the function, by its logical id, and its event in the line that the stack prints for its deployer.
var payload = regexp.MustCompile(`^sam remote invoke (\S+) .* -e '([^']*)'$`)

// Mint makes a credential by the line that the stack prints, with another name and other rights.
func (d *Deployment) Mint(ctx context.Context, name, rights string) (Credential, error) {
	var c Credential
	line := payload.FindStringSubmatch(strings.Join(strings.Fields(d.stack.Outputs["Mint"]), " "))
	if line == nil {
		return c, errors.New("the stack's output Mint is no line that invokes a function with an event")
	}
	function, err := d.name(line[1])
	if err != nil {
		return c, err
	}
	var event map[string]any
	if err := json.Unmarshal([]byte(line[2]), &event); err != nil {
		return c, fmt.Errorf("the event in the output Mint: %w", err)
	}
	event["name"], event["rights"] = name, rights
	raw, err := json.Marshal(event)
	if err != nil {
		return c, err
	}
	answer, err := d.Invoke(ctx, function, raw)
	if err != nil {
		return c, err
	}
	var report struct{ Error, Name, Token string }
	if err := json.Unmarshal(answer, &report); err != nil {
		return c, fmt.Errorf("minting: %w", err)
	}
	if report.Error != "" || report.Name != name || report.Token == "" {
		return c, fmt.Errorf("minting with %s: %q", line[2], report.Error)
	}
	return Credential{report.Name, report.Token}, nil
}
