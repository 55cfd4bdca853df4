// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"tare/internal/clock"
	"tare/internal/store"
	"tare/internal/store/dynamostore"
	"tare/internal/store/storetest"
	"tare/test/standin"
)

// client speaks to dynoxide, or to a proxy in front of it.
func client(url string) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region:       standin.Region,
		BaseEndpoint: aws.String(url),
		Credentials:  credentials.NewStaticCredentialsProvider(standin.AccessKey, standin.SecretKey, ""),
	})
}

// engine is a running dynoxide in which every test makes a table of its own.
type engine struct {
	server *standin.Server
	made   atomic.Int64
}

func startEngine(t testing.TB) *engine { return &engine{server: standin.DynamoDB(t)} }

// table makes a new table and returns its name.
func (e *engine) table(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("table-%d", e.made.Add(1))
	if _, err := client(e.server.URL).CreateTable(t.Context(), dynamostore.Schema(name)); err != nil {
		t.Fatal(err)
	}
	return name
}

// tables opens two clients of a new table, each through its own proxy with its own plan.
func (e *engine) tables(plan func(seed uint64) standin.Plan) func(testing.TB) storetest.Tables {
	return func(t testing.TB) storetest.Tables {
		name := e.table(t)
		n := uint64(e.made.Load())
		open := func(url string) store.Table {
			return dynamostore.New(client(url), name, dynamostore.Options{Clock: clock.System{}})
		}
		if plan == nil {
			return storetest.Tables{A: open(e.server.URL), B: open(e.server.URL)}
		}
		a, b := standin.NewProxy(t, e.server.URL), standin.NewProxy(t, e.server.URL)
		a.Use(plan(2 * n))
		b.Use(plan(2*n + 1))
		return storetest.Tables{A: open(a.URL), B: open(b.URL)}
	}
}

func TestTable(t *testing.T) { storetest.TestTable(t, startEngine(t).tables(nil)) }

func TestScanner(t *testing.T) { storetest.TestScanner(t, startEngine(t).tables(nil)) }

func BenchmarkTable(b *testing.B) { storetest.BenchmarkTable(b, startEngine(b).tables(nil)) }
