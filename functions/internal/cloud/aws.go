// SPDX-License-Identifier: Apache-2.0

package cloud

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Config is the SDK's, from the variables that Lambda sets and nothing else. The SDK's own loader looks for files and other
// sources of credentials, none of which a function has, and the clients that it needs for them make a start slower. The
// credentials do not change while a process lives: Lambda replaces the process.
func Config(e *Environment) (aws.Config, error) {
	c := aws.Config{Region: e.Text("AWS_REGION")}
	key, secret := e.Text("AWS_ACCESS_KEY_ID"), e.Text("AWS_SECRET_ACCESS_KEY")
	session, _ := e.value("AWS_SESSION_TOKEN")
	c.Credentials = credentials.NewStaticCredentialsProvider(key, secret, session)
	env, err := config.NewEnvConfig() // the SDK's variables, such as those of endpoints
	if err != nil {
		return c, fmt.Errorf("the variables of the AWS SDK: %w", err)
	}
	c.ConfigSources = []any{env}
	return c, e.Err()
}
