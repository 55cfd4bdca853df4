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
	"tare/internal/store/dynamostore"
	"tare/internal/store/storetest"
	"tare/test/integration/account"
	"tare/test/standin"
)

// engine is a running dynoxide in which every test makes a table of its own, or the table of an account.
type engine struct {
	server  *standin.Server // nil: in the account
	account *account.Account
	made    atomic.Int64
}

func startEngine(t testing.TB) *engine {
	if a := openAccount(t, account.TableName); a != nil {
		return &engine{account: a}
	}
	return &engine{server: standin.DynamoDB(t)}
}

// client speaks to the engine, through a proxy if there is one.
func (e *engine) client(t testing.TB, p *standin.Proxy) *dynamodb.Client {
	t.Helper()
	if e.account != nil {
		if p == nil {
			return e.account.DynamoDB()
		}
		return behind(t, e.account, p)
	}
	url := e.server.URL
	if p != nil {
		url = p.URL
	}
	return dynamodb.New(dynamodb.Options{
		Region:       standin.Region,
		BaseEndpoint: aws.String(url),
		Credentials:  credentials.NewStaticCredentialsProvider(standin.AccessKey, standin.SecretKey, ""),
	})
}

// proxy starts a proxy in front of the engine.
func (e *engine) proxy(t testing.TB) *standin.Proxy {
	t.Helper()
	if e.account != nil {
		return standin.NewProxy(t, belongs(t, e.account))
	}
	return standin.NewProxy(t, e.server.URL)
}

// table makes a new table, or empties that of the account, and returns its name.
func (e *engine) table(t testing.TB) string {
	t.Helper()
	n := e.made.Add(1)
	if e.account != nil {
		if err := emptyTable(t.Context(), e.account); err != nil {
			t.Fatal(err)
		}
		return e.account.Table
	}
	name := fmt.Sprintf("table-%d", n)
	if _, err := e.client(t, nil).CreateTable(t.Context(), dynamostore.Schema(name)); err != nil {
		t.Fatal(err)
	}
	return name
}

// store opens a table, through a proxy if there is one.
func (e *engine) store(t testing.TB, table string, p *standin.Proxy) *dynamostore.Store {
	t.Helper()
	return dynamostore.New(e.client(t, p), table, dynamostore.Options{Clock: clock.System{}})
}

// tables opens two clients of a new table, each through its own proxy where there is a plan.
func (e *engine) tables(plan func(seed uint64) standin.Plan) func(testing.TB) storetest.Tables {
	return func(t testing.TB) storetest.Tables {
		name := e.table(t)
		n := uint64(e.made.Load())
		var a, b *standin.Proxy
		if plan != nil {
			a, b = e.proxy(t), e.proxy(t)
			a.Use(plan(2 * n))
			b.Use(plan(2*n + 1))
		}
		opened := storetest.Tables{A: e.store(t, name, a), B: e.store(t, name, b)}
		if e.account != nil {
			opened.Settle = func() {
				if err := settleIndex(t.Context(), e.account); err != nil {
					t.Error(err)
				}
			}
		}
		return opened
	}
}

func TestTable(t *testing.T) { storetest.TestTable(t, startEngine(t).tables(nil)) }

func TestScanner(t *testing.T) { storetest.TestScanner(t, startEngine(t).tables(nil)) }

func BenchmarkTable(b *testing.B) { storetest.BenchmarkTable(b, startEngine(b).tables(nil)) }
