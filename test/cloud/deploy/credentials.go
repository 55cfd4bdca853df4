// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"tare/test/standin"
)

// owner are the credentials that the stand-ins know.
var owner = map[string]string{"AWS_ACCESS_KEY_ID": standin.AccessKey, "AWS_SECRET_ACCESS_KEY": standin.SecretKey}

// credentials are those of a function's role.
func (d *Deployment) credentials(functionID string) map[string]string {
	if d.options.Judge != nil {
		return d.options.Judge.Credentials(functionID)
	}
	return owner
}

func (d *Deployment) deployer() map[string]string {
	if d.options.Judge != nil {
		return d.options.Judge.Deployer()
	}
	return owner
}

// sign signs a request with credentials that are given as variables.
func sign(ctx context.Context, r *http.Request, body []byte, service string, as map[string]string) error {
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	r.Header.Set("X-Amz-Content-Sha256", hash)
	credentials := aws.Credentials{
		AccessKeyID: as["AWS_ACCESS_KEY_ID"], SecretAccessKey: as["AWS_SECRET_ACCESS_KEY"], SessionToken: as["AWS_SESSION_TOKEN"],
	}
	return v4.NewSigner().SignHTTP(ctx, credentials, r, hash, service, standin.Region, time.Now())
}
