// SPDX-License-Identifier: Apache-2.0

// Package rows gives suites that run on memory the same worlds with their rows in DynamoDB: each a table of its own in one
// dynoxide, behind a proxy that refuses, throttles and answers in part as DynamoDB does, and objects in memory.
package rows

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"tare/internal/clock"
	"tare/internal/store"
	"tare/internal/store/dynamostore"
	"tare/internal/store/memstore"
	"tare/test/standin"
)

// Engine is a dynoxide that runs.
type Engine struct {
	Proxy *standin.Proxy

	client *dynamodb.Client
	made   atomic.Int64
}

// answerIn is for how long a request may take: a machine that has much to do is no fault of the network.
const answerIn = time.Minute

// Main runs tests with an engine, which use gets first, and returns the exit status. The program is that of TARE_DYNOXIDE.
func Main(m *testing.M, use func(*Engine)) int {
	code, err := run(m, use)
	if err != nil {
		fmt.Fprintln(os.Stderr, "the rows in DynamoDB:", err)
		return 1
	}
	return code
}

func run(m *testing.M, use func(*Engine)) (code int, err error) {
	program := os.Getenv("TARE_DYNOXIDE")
	if program == "" {
		return 0, fmt.Errorf("TARE_DYNOXIDE names no program: run `make integration`")
	}
	folder, err := os.MkdirTemp("", "rows")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(folder)
	server, err := standin.StartDynamoDB(context.Background(), program, folder)
	if err != nil {
		return 0, err
	}
	defer func() {
		if stopped := server.Stop(); err == nil {
			err = stopped
		}
	}()
	proxy, err := standin.StartProxy(server.URL)
	if err != nil {
		return 0, err
	}
	defer proxy.Close()
	proxy.Use(weather(1))
	use(&Engine{Proxy: proxy, client: dynamodb.New(dynamodb.Options{
		Region: standin.Region, BaseEndpoint: aws.String(proxy.URL),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: standin.AccessKey, SecretAccessKey: standin.SecretKey}, nil
		}),
	})})
	code = m.Run()
	fmt.Printf("rows in DynamoDB: %d of its answers were not the engine's; requests: %v\n", proxy.Hurt(), proxy.Seen())
	return code, nil
}

// weather is what DynamoDB does now and then, and what a store bears without a word: nothing of it has happened, or the
// rest is asked for again.
func weather(seed uint64) standin.Plan {
	return standin.First(
		standin.Sometimes(seed, 0.1, []string{"TransactWriteItems"}, standin.Throttle,
			standin.Cancel(map[int]string{0: "TransactionConflict"}), standin.Cancel(map[int]string{0: "ThrottlingError"})),
		standin.Sometimes(seed, 0.05, []string{"GetItem", "BatchGetItem", "Query", "Scan"}, standin.Throttle, standin.Unprocessed(1), standin.ShortPage(1)),
	)
}

// Requests tells how many requests came so far.
func (e *Engine) Requests() int {
	n := 0
	for _, of := range e.Proxy.Seen() {
		n += of
	}
	return n
}

// Store is a table with its rows in DynamoDB, and objects in memory.
type Store struct {
	*memstore.Store // the objects

	table  *dynamostore.Store
	engine *Engine
	number int64
}

// Open makes a table, with objects of its own kept as opts say.
func (e *Engine) Open(clk clock.Clock, opts memstore.Options) *Store {
	return e.open(clk, memstore.New(clk, opts))
}

func (e *Engine) open(clk clock.Clock, objects *memstore.Store) *Store {
	n := e.made.Add(1)
	name := fmt.Sprintf("rows-%d", n)
	if _, err := e.client.CreateTable(context.Background(), dynamostore.Schema(name)); err != nil {
		panic(err) // the engine is the test's own
	}
	return &Store{Store: objects, engine: e, number: n,
		table: dynamostore.New(e.client, name, dynamostore.Options{Clock: clk, Timeout: answerIn})}
}

// Clone is a store of its own with the same rows, objects and unfinished uploads. It knows none of the tokens.
func (s *Store) Clone(clk clock.Clock) *Store {
	c := s.engine.open(clk, s.Store.Clone(clk))
	after := store.Key{}
	for page := (store.Page{More: true}); page.More; {
		var err error
		if page, err = s.table.Scan(context.Background(), after, store.MaxOps); err != nil {
			panic(err)
		}
		tx := store.Tx{}
		for _, it := range page.Items {
			tx.Ops = append(tx.Ops, store.Op{Key: it.Key, Kind: store.OpPut, Row: it.Row})
			after = it.Key
		}
		if tx.Ops == nil {
			break
		}
		tx.Token = after.String()[:min(len(after.String()), store.MaxToken)]
		if err := c.Commit(context.Background(), tx); err != nil {
			panic(err)
		}
	}
	return c
}

// Get implements [store.Table].
func (s *Store) Get(ctx context.Context, keys ...store.Key) ([]store.Row, error) {
	return s.table.Get(ctx, keys...)
}

// Query implements [store.Table].
func (s *Store) Query(ctx context.Context, q store.Query) (store.Page, error) {
	return s.table.Query(ctx, q)
}

// Due implements [store.Table].
func (s *Store) Due(ctx context.Context, shard int, until int64, after store.DueKey, limit int) ([]store.DueKey, error) {
	return s.table.Due(ctx, shard, until, after, limit)
}

// Scan implements [store.Scanner].
func (s *Store) Scan(ctx context.Context, after store.Key, limit int) (store.Page, error) {
	return s.table.Scan(ctx, after, limit)
}

// Commit implements [store.Table]. The engine remembers tokens for all of its tables together, and worlds that are alike
// draw the same ones: each has its own here.
func (s *Store) Commit(ctx context.Context, tx store.Tx) error {
	if 0 < len(tx.Token) && len(tx.Token) <= store.MaxToken {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", s.number, tx.Token))
		tx.Token = hex.EncodeToString(sum[:])[:store.MaxToken]
	}
	return s.table.Commit(ctx, tx)
}
