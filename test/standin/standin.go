// SPDX-License-Identifier: Apache-2.0

// Package standin runs the programs that stand in for AWS where there is no account: dynoxide for DynamoDB, versitygw for
// S3, each its own process that keeps its data in a folder. What neither of them ever does (cancel a transaction because
// of another, throttle, answer half a batch, fail, lose a reply, show an index late) a [Proxy] in front of them does.
//
// The programs are found by the variables TARE_DYNOXIDE and TARE_VERSITYGW, which `make integration` sets. A suite that is
// run without them is skipped, but fails where CI is set: a stand-in that cannot be had is told, not replaced.
package standin

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// The credentials that the stand-ins are started with, and their region.
const (
	AccessKey = "standin"
	SecretKey = "standin-secret"
	Region    = "us-east-1"
)

// DynamoDB starts dynoxide for a test, with its data in a folder of the test, and stops it at the test's end.
func DynamoDB(tb testing.TB) *Server {
	tb.Helper()
	return forTest(tb, "TARE_DYNOXIDE", StartDynamoDB)
}

// S3 starts versitygw for a test, with its data in a folder of the test, and stops it at the test's end.
func S3(tb testing.TB) *Server {
	tb.Helper()
	return forTest(tb, "TARE_VERSITYGW", StartS3)
}

// Lacking skips a test for want of what it needs, and fails it where CI is set.
func Lacking(tb testing.TB, what string) {
	tb.Helper()
	if os.Getenv("CI") != "" {
		tb.Fatal(what)
	}
	tb.Skip(what)
}

func forTest(tb testing.TB, variable string, start func(ctx context.Context, program, folder string) (*Server, error)) *Server {
	tb.Helper()
	program := os.Getenv(variable)
	if program == "" {
		Lacking(tb, variable+" names no program: run `make integration`")
	}
	s, err := start(tb.Context(), program, tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Stop(); err != nil {
			tb.Errorf("stand-in: %v\n%s", err, s.Log())
		}
	})
	return s
}

// StartDynamoDB starts dynoxide with its data in folder, which must exist, and returns when it answers. It takes any
// credentials.
func StartDynamoDB(ctx context.Context, program, folder string) (*Server, error) {
	return start(ctx, func(address, port string) []string {
		return []string{program, "serve", "--port", port, "--db-path", filepath.Join(folder, "table.db")}
	})
}

// StartS3 starts versitygw with its data in folder, which must exist, and returns when it answers. It knows one user,
// [AccessKey] with [SecretKey]. What it has to say of objects goes to a folder beside them, since a temporary folder need
// not take extended attributes.
func StartS3(ctx context.Context, program, folder string) (*Server, error) {
	data, beside := filepath.Join(folder, "data"), filepath.Join(folder, "meta")
	for _, dir := range []string{data, beside} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	return start(ctx, func(address, port string) []string {
		return []string{program, "--access", AccessKey, "--secret", SecretKey, "--region", Region, "--port", address, "--quiet", "--keep-alive",
			"posix", "--sidecar", beside, data}
	})
}
