// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"tare/internal/clock"
	"tare/internal/store"
	"tare/internal/store/dynamostore"
	"tare/test/integration/account"
	"tare/test/standin"
)

// openAccount opens the account in which a table or a bucket was made for these tests (command aws); nil: the variable
// names none, and a stand-in serves. All tests share the table and the bucket, which are emptied before each.
func openAccount(tb testing.TB, variable string) *account.Account {
	tb.Helper()
	if os.Getenv(variable) == "" {
		return nil
	}
	a, err := account.Open(tb.Context(), os.Getenv)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// behind makes a client whose requests, signed for where they belong, go to a proxy.
func behind(t testing.TB, a *account.Account, p *standin.Proxy) *dynamodb.Client {
	t.Helper()
	to, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	return a.DynamoDB(func(o *dynamodb.Options) { o.HTTPClient = detour{to} })
}

// detour sends requests to another address, under the Host that they are signed for.
type detour struct{ to *url.URL }

func (d detour) Do(r *http.Request) (*http.Response, error) {
	if r.Host == "" {
		r.Host = r.URL.Host
	}
	r.URL.Scheme, r.URL.Host = d.to.Scheme, d.to.Host
	return http.DefaultTransport.RoundTrip(r)
}

// belongs is where requests to DynamoDB belong.
func belongs(t testing.TB, a *account.Account) string {
	t.Helper()
	if base := a.DynamoDB().Options().BaseEndpoint; base != nil {
		return *base
	}
	e, err := dynamodb.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), dynamodb.EndpointParameters{Region: aws.String(a.Region())})
	if err != nil {
		t.Fatal(err)
	}
	return e.URI.String()
}

// emptyTable removes all rows of the account's table and waits until the index shows none.
func emptyTable(ctx context.Context, a *account.Account) error {
	s := dynamostore.New(a.DynamoDB(), a.Table, dynamostore.Options{Clock: clock.System{}})
	for {
		page, err := s.Scan(ctx, store.Key{}, store.MaxOps)
		if err != nil {
			return err
		}
		if len(page.Items) == 0 {
			return settleIndex(ctx, a)
		}
		tx := store.Tx{Token: rand.Text()}
		for _, it := range page.Items {
			tx.Ops = append(tx.Ops, store.Op{Key: it.Key, Kind: store.OpDelete})
		}
		if err := settle(ctx, s, tx); err != nil {
			return err
		}
	}
}

// indexLag is for how long the index may be behind the table here.
const indexLag = 2 * time.Minute

// settleIndex waits until the index shows what the account's table has.
func settleIndex(ctx context.Context, a *account.Account) error {
	ctx, cancel := context.WithTimeout(ctx, indexLag)
	defer cancel()
	for {
		table, err := due(ctx, a, &dynamodb.ScanInput{TableName: &a.Table, ConsistentRead: aws.Bool(true)})
		if err != nil {
			return err
		}
		index, err := due(ctx, a, &dynamodb.ScanInput{TableName: &a.Table, IndexName: aws.String("due")})
		if err != nil {
			return err
		}
		if len(table) == len(index) {
			same := true
			for k := range table {
				same = same && index[k]
			}
			if same {
				return nil
			}
		}
		if err := (clock.System{}).Pause(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("the index has %d entries, the table %d: %w", len(index), len(table), err)
		}
	}
}

// due lists the entries of the index that a scan shows.
func due(ctx context.Context, a *account.Account, scan *dynamodb.ScanInput) (map[string]bool, error) {
	entries := make(map[string]bool)
	pages := dynamodb.NewScanPaginator(a.DynamoDB(), scan)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, it := range page.Items {
			if it[store.AttrDue] != nil && it[store.AttrShard] != nil {
				entries[fmt.Sprintf("%+v %+v %+v %+v", it[store.AttrShard], it[store.AttrDue], it["pk"], it["sk"])] = true
			}
		}
	}
	return entries, nil
}
