// SPDX-License-Identifier: Apache-2.0

// Package account makes what the suites need in an account of AWS, or at endpoints that variables name: a table and a
// bucket of names that nobody can foresee, which the suites share, and which go with all that is in them.
package account

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"tare/internal/store/dynamostore"
)

// The variables that name endpoints instead of those of AWS. Where only one of them is set, the suites run there alone,
// and on stand-ins otherwise.
const (
	EndpointDynamoDB = "TARE_AWS_ENDPOINT_DYNAMODB"
	EndpointS3       = "TARE_AWS_ENDPOINT_S3"
)

// The variables by which the suites are told what was made for them.
const (
	TableName  = "TARE_AWS_TABLE"
	BucketName = "TARE_AWS_BUCKET"
)

// Account is where the suites run: what the ordinary configuration of AWS says, its profiles and variables included.
type Account struct {
	Table, Bucket string // "": not made

	cfg          aws.Config
	dynamo, s3At string // endpoints; "": those of the configuration
}

// ErrNone is the error where nothing says who one is.
var ErrNone = errors.New("there are no credentials of AWS: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")

// Open reads the configuration, and of the environment what the variables above say. The role of a machine is not asked
// for: who runs these suites says so.
func Open(ctx context.Context, environment func(string) string) (*Account, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	if err != nil {
		return nil, err
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrNone, err)
	}
	if cfg.Region == "" {
		return nil, errors.New("no region: set AWS_REGION")
	}
	return &Account{cfg: cfg, dynamo: environment(EndpointDynamoDB), s3At: environment(EndpointS3),
		Table: environment(TableName), Bucket: environment(BucketName)}, nil
}

// Region is where the account is worked in.
func (a *Account) Region() string { return a.cfg.Region }

// Endpoints tells whether variables of ours name where to go.
func (a *Account) Endpoints() bool { return a.dynamo+a.s3At != "" }

// DynamoDB makes a client, with changes of its options.
func (a *Account) DynamoDB(change ...func(*dynamodb.Options)) *dynamodb.Client {
	at := func(o *dynamodb.Options) {
		if a.dynamo != "" {
			o.BaseEndpoint = &a.dynamo
		}
	}
	return dynamodb.NewFromConfig(a.cfg, append([]func(*dynamodb.Options){at}, change...)...)
}

// S3 makes a client. An endpoint that is named has the bucket in its path.
func (a *Account) S3(change ...func(*s3.Options)) *s3.Client {
	at := func(o *s3.Options) {
		if a.s3At != "" {
			o.BaseEndpoint = &a.s3At
		}
		o.UsePathStyle = o.BaseEndpoint != nil
	}
	return s3.NewFromConfig(a.cfg, append([]func(*s3.Options){at}, change...)...)
}

// readyAfter is how long a new table may take.
const readyAfter = 5 * time.Minute

// Create makes the table and the bucket. Where it fails, [Account.Remove] removes what there may be of them.
func (a *Account) Create(ctx context.Context) error {
	if !a.Endpoints() || a.dynamo != "" {
		a.Table = "tare-integration-" + strings.ToLower(rand.Text())
		if _, err := a.DynamoDB().CreateTable(ctx, dynamostore.Schema(a.Table)); err != nil {
			return fmt.Errorf("the table %s: %w", a.Table, err)
		}
		if err := a.awaitTable(ctx); err != nil {
			return fmt.Errorf("the table %s: %w", a.Table, err)
		}
	}
	if !a.Endpoints() || a.s3At != "" {
		a.Bucket = "tare-integration-" + strings.ToLower(rand.Text())
		request := &s3.CreateBucketInput{Bucket: &a.Bucket}
		if a.cfg.Region != "us-east-1" {
			request.CreateBucketConfiguration = &s3types.CreateBucketConfiguration{LocationConstraint: s3types.BucketLocationConstraint(a.cfg.Region)}
		}
		if _, err := a.S3().CreateBucket(ctx, request); err != nil {
			return fmt.Errorf("the bucket %s: %w", a.Bucket, err)
		}
	}
	return nil
}

func (a *Account) awaitTable(ctx context.Context) error {
	return dynamodb.NewTableExistsWaiter(a.DynamoDB()).Wait(ctx, &dynamodb.DescribeTableInput{TableName: &a.Table}, readyAfter)
}

// Remove removes what Create made, with all that is in it, as far as it can, and says what may be left. A request of Create
// that was not answered may have made it all the same, so both are asked for, and their absence is no error.
func (a *Account) Remove(ctx context.Context) error {
	var errs []error
	if a.Bucket != "" {
		if err := a.removeBucket(ctx); err != nil {
			errs = append(errs, fmt.Errorf("the bucket %s may be left: %w", a.Bucket, err))
		}
	}
	if a.Table != "" {
		if err := a.removeTable(ctx); err != nil {
			errs = append(errs, fmt.Errorf("the table %s may be left: %w", a.Table, err))
		}
	}
	return errors.Join(errs...)
}

func (a *Account) removeBucket(ctx context.Context) error {
	err := EmptyBucket(ctx, a.S3(), a.Bucket)
	if err == nil {
		_, err = a.S3().DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &a.Bucket})
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() == "NoSuchBucket" {
		return nil
	}
	return err
}

// removeTable waits for a table that is being made, which cannot be deleted.
func (a *Account) removeTable(ctx context.Context) error {
	_, err := a.DynamoDB().DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &a.Table})
	if _, none := errors.AsType[*types.ResourceNotFoundException](err); none {
		return nil
	}
	if err == nil {
		err = a.awaitTable(ctx)
	}
	if err == nil {
		_, err = a.DynamoDB().DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &a.Table})
	}
	return err
}

// EmptyBucket removes the objects of a bucket and the uploads that are under way in it.
func EmptyBucket(ctx context.Context, client *s3.Client, bucket string) error {
	objects := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket})
	for objects.HasMorePages() {
		page, err := objects.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, o := range page.Contents {
			if _, err := client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: o.Key}); err != nil {
				return err
			}
		}
	}
	uploads := s3.NewListMultipartUploadsPaginator(client, &s3.ListMultipartUploadsInput{Bucket: &bucket})
	for uploads.HasMorePages() {
		page, err := uploads.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, u := range page.Uploads {
			if _, err := client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &bucket, Key: u.Key, UploadId: u.UploadId}); err != nil {
				return err
			}
		}
	}
	return nil
}
