// SPDX-License-Identifier: Apache-2.0

// Package histories has clients push, move tags, delete and pull at once over HTTP, while sweeps run beside them, on the
// functions as they are deployed, transactions that overlap are canceled, and the table and the bucket fail now and then. What the
// clients were told must have an explanation, for each tag and each digest; then time passes, and nothing may be lost or left.
package histories

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tare/internal/clock"
	"tare/internal/refcount"
	"tare/internal/store"
	"tare/internal/store/dynamostore"
	"tare/internal/store/s3store"
	"tare/test/cloud/deploy"
	"tare/test/cloud/events"
	"tare/test/cloud/judge"
	"tare/test/cloud/lambda"
	"tare/test/cloud/template"
	"tare/test/standin"
)

var (
	seeds   = flag.Uint64("seeds", 1, "how many histories: a seed stands for what clients do and what fails")
	first   = flag.Uint64("first", 1, "the first of them")
	clients = flag.Int("clients", 8, "how many there are")
	rounds  = flag.Int("rounds", 6, "after each, days pass")
	things  = flag.Int("things", 12, "that a client does in a round")
	overlap = flag.Duration("overlap", 3*time.Millisecond, "how long a transaction is under way at least")
	faults  = flag.Float64("faults", 0.03, "the chance that a call of the table or the bucket fails")
)

// world is a cloud, and what was done there.
type world struct {
	*deploy.Deployment
	t       *testing.T
	seed    uint64
	history *history
	judge   *judge.Judge
	gc      string
	c       deploy.Credential

	mu     sync.Mutex
	failed map[string]int // errors of functions
}

// start deploys the functions of TARE_CLOUD, a folder that the Makefile fills. Without them, or without the stand-ins, the test
// is skipped, and fails where CI is set.
func start(t *testing.T, seed uint64) *world {
	t.Helper()
	folder, dynamoDB, s3 := os.Getenv("TARE_CLOUD"), os.Getenv("TARE_DYNOXIDE"), os.Getenv("TARE_VERSITYGW")
	if folder == "" || dynamoDB == "" || s3 == "" {
		standin.Lacking(t, "TARE_CLOUD, TARE_DYNOXIDE or TARE_VERSITYGW is not set: make histories-cloud sets them")
	}
	file, err := os.Open(filepath.Join(folder, "template.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	setting := template.Setting{Account: deploy.Account, Region: standin.Region}
	stack, err := template.Read(file, setting)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, seed: seed, history: &history{began: time.Now()}, failed: map[string]int{}}
	if w.judge, err = judge.New(judge.Config{Stack: stack, Setting: setting, AccessKey: standin.AccessKey, SecretKey: standin.SecretKey}); err != nil {
		t.Fatal(err)
	}
	if w.Deployment, err = deploy.Start(t.Context(), stack, deploy.Options{
		Bootstraps: folder, DynamoDB: dynamoDB, S3: s3, Data: t.TempDir(), Judge: w.judge, Interval: time.Hour, Concurrency: 64, Recycle: 200,
		Weather: events.Weather{Seed: seed, Delay: 500 * time.Millisecond, Duplicate: 0.3}, Overlap: *overlap,
		Retry:   func(int, bool) time.Duration { return 300 * time.Millisecond },
		Observe: w.observe,
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, f := range stack.Functions {
		if f.ID == "Gc" {
			w.gc = f.Name
		}
	}
	if w.c, err = w.Mint(t.Context(), "history", "admin"); err != nil {
		t.Fatal(err)
	}
	return w
}

// observe notes an error that a function returned. Whatever a client sends, api returns none; the others may while the table or
// the bucket fail, and are called again.
func (w *world) observe(function string, r lambda.Result) {
	if r.Error == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed[function]++
	if strings.Contains(function, "-Api-") || !strings.Contains(string(r.Payload), "unavailable") {
		w.t.Errorf("%s returned %s: %s", function, r.Error, r.Payload)
	}
}

// tableFaults are those of DynamoDB: it throttles, calls and answers are lost, transactions land late.
func tableFaults(seed uint64) standin.Plan {
	return standin.First(
		standin.Sometimes(seed, *faults, []string{"TransactWriteItems"}, standin.Late, standin.LoseCall, standin.LoseReply, standin.Throttle),
		standin.Sometimes(seed+1, *faults, []string{"GetItem", "BatchGetItem", "Query"}, standin.LoseReply, standin.Throttle),
	)
}

// slow lets some calls of the table take their time, so that others come between.
func slow(seed uint64) standin.Plan {
	often := standin.Sometimes(seed+3, 0.2, []string{"TransactWriteItems", "BatchGetItem"}, standin.Reset)
	return func(r standin.Request) standin.Fault {
		if often(r) != nil {
			time.Sleep(rand.N(50 * time.Millisecond))
		}
		return nil
	}
}

// bucketFaults are those of S3.
func bucketFaults(seed uint64) standin.Plan {
	return standin.Sometimes(seed+2, *faults, []string{"GET", "HEAD", "PUT", "PUT ?partNumber", "POST ?uploads", "POST ?uploadId", "DELETE"},
		standin.LoseCall, standin.LoseReply, standin.S3Error(http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate."),
		standin.S3Error(http.StatusInternalServerError, "InternalError", "We encountered an internal error. Please try again."))
}

// round lets all clients work, while sweeps run beside them.
func (w *world) round(n int) {
	w.Table.Use(standin.First(slow(w.seed), standin.Overlap(*overlap), tableFaults(w.seed)))
	w.Objects.Use(bucketFaults(w.seed))
	ctx, end := context.WithCancel(w.t.Context())
	var beside, all sync.WaitGroup
	here := make(chan struct{}, *clients)
	for i := range *clients {
		c := newClient(w.t, w.Deployment, w.c, w.history, fmt.Sprintf("%c%d", 'a'+i, n), w.seed*1000+uint64(n*100+i))
		all.Go(func() {
			c.list(0)
			here <- struct{}{}
			c.work(ctx, *things)
		})
	}
	for range *clients {
		<-here // what is due is there to be fought for
	}
	for range 2 {
		beside.Go(func() {
			for ctx.Err() == nil {
				w.sweep(true)
			}
		})
	}
	beside.Go(func() { w.land(ctx) })
	all.Wait()
	end()
	beside.Wait()
	w.calm()
	evening := newClient(w.t, w.Deployment, w.c, w.history, fmt.Sprint("evening", n), w.seed*1000+uint64(n))
	for r := range repos {
		for m := range manifests {
			if evening.IntN(2) == 0 {
				evening.erase(r, m)
			}
		}
	}
}

// sweep calls the collector once, as its schedule does. While there are faults it may say that the table is not there.
func (w *world) sweep(bear bool) {
	_, err := w.Invoke(w.t.Context(), w.gc, []byte(`{"tare":"sweep"}`))
	if err == nil || bear && strings.Contains(err.Error(), "unavailable") {
		return
	}
	w.t.Errorf("sweep: %v", err)
}

// land lets late transactions land, one now and then.
func (w *world) land(ctx context.Context) {
	for (clock.System{}).Pause(ctx, rand.N(100*time.Millisecond)) == nil {
		if _, err := w.Table.Land(); err != nil {
			w.t.Error(err)
		}
	}
}

// calm ends the faults and waits until nothing is under way: neither a late transaction nor an event of the bucket.
func (w *world) calm() {
	w.Objects.Use(nil)
	w.Table.Use(nil)
	for landed := true; landed; {
		var err error
		if landed, err = w.Table.Land(); err != nil {
			w.t.Error(err)
		}
	}
	for w.Bus.Pending()+w.Lambda.Pending() > 0 {
		if err := (clock.System{}).Pause(w.t.Context(), 20*time.Millisecond); err != nil {
			w.t.Fatal(err)
		}
	}
	w.history.over()
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	if err := w.Age(w.t.Context(), d); err != nil {
		w.t.Fatal(err)
	}
	w.history.aged += d
}

// behind is a ledger on the stand-ins themselves.
func (w *world) behind() (*refcount.Ledger, *dynamostore.Store, *s3store.Store) {
	w.t.Helper()
	keys := credentials.NewStaticCredentialsProvider(standin.AccessKey, standin.SecretKey, "")
	transport := &http.Transport{}
	w.t.Cleanup(transport.CloseIdleConnections)
	plain := &http.Client{Transport: transport}
	table := dynamostore.New(dynamodb.New(dynamodb.Options{Region: standin.Region, BaseEndpoint: aws.String(w.Engines.DynamoDB), Credentials: keys, HTTPClient: plain}),
		w.Engines.Table, dynamostore.Options{Clock: clock.System{}})
	objects := s3store.New(s3.New(s3.Options{Region: standin.Region, BaseEndpoint: aws.String(w.Engines.S3), Credentials: keys, HTTPClient: plain, UsePathStyle: true}),
		w.Engines.Bucket, s3store.Options{Clock: clock.System{}})
	ledger, err := refcount.New(refcount.Stores{Table: table, Objects: objects, Parts: objects}, clock.System{},
		refcount.Config{Margins: refcount.DefaultMargins(), InlineLimit: 4 << 10, Distant: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return ledger, table, objects
}

// audit looks whether the ledger's invariants hold, and every byte is the right one.
func (w *world) audit(when string) {
	w.t.Helper()
	ledger, table, _ := w.behind()
	report, err := ledger.Fsck(w.t.Context(), table, refcount.FsckOptions{Hash: refcount.HashAll, Found: func(f refcount.Finding) error {
		w.t.Errorf("%s: %s", when, f)
		return nil
	}})
	if err != nil {
		w.t.Errorf("%s: %v", when, err)
	}
	w.t.Logf("%s: %d rows, %d objects, %d hashed, %d findings", when, report.Rows, report.Objects, report.Hashed, report.Must+report.Should)
}

// readAll reads all that could be there.
func (w *world) readAll(c *client) {
	for r := range repos {
		c.list(r)
		for t := range tags {
			c.pull(r, t, none)
		}
		for m := range manifests {
			c.pull(r, none, m)
		}
		for b := range blobs {
			c.fetch(r, b)
		}
	}
}

// settle lets every margin pass, with a sweep after each.
func (w *world) settle() {
	for range 6 {
		w.pass(40 * 24 * time.Hour)
		w.sweep(false)
	}
}

func TestHistory(t *testing.T) {
	for seed := *first; seed < *first+*seeds; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { play(t, seed) })
	}
}

// play plays a history: rounds with days between them, then a look at all that is left, and its end.
func play(t *testing.T, seed uint64) {
	w := start(t, seed)
	for n := range *rounds {
		w.round(n)
		w.audit(fmt.Sprintf("after round %d", n))
		w.pass(3 * 24 * time.Hour)
	}
	judge := newClient(t, w.Deployment, w.c, w.history, "judge", 0)
	w.readAll(judge)
	w.settle()
	judge.settled = true
	w.readAll(judge)
	w.audit("after all margins")
	w.history.check(t)
	w.tell()
	w.empty(judge)
	if faults := w.judge.Report().Faults(); len(faults) > 0 {
		t.Errorf("%d requests were refused to the functions; the first: %v", len(faults), faults[0])
	}
}

// empty deletes every manifest: past every margin nothing is left but what knows who may come in.
func (w *world) empty(c *client) {
	for r := range repos {
		for m := range manifests {
			c.erase(r, m)
		}
	}
	w.settle()
	_, table, objects := w.behind()
	page, err := table.Scan(w.t.Context(), store.Key{}, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, item := range page.Items {
		if kind := item.Key.PK[:1]; !strings.Contains("kuw", kind) {
			w.t.Errorf("left: %v %v", item.Key, item.Row)
		}
	}
	keys, err := objects.List(w.t.Context(), "", "", store.MaxLimit)
	if err != nil || len(keys) > 0 {
		w.t.Errorf("left: objects %v, %v", keys, err)
	}
	parts, err := objects.Pending(w.t.Context(), "")
	if err != nil || len(parts) > 0 {
		w.t.Errorf("left: uploads %v, %v", parts, err)
	}
}

// tell says what was done.
func (w *world) tell() {
	told := map[outcome]int{}
	for _, e := range w.history.events {
		told[e.outcome]++
	}
	c := w.Meter.Counts()
	w.t.Logf("done %d, refused %d, unknown %d; %d transactions, %d sent again, %d canceled by a conflict, %d refused by a condition, %d throttled",
		told[done], told[refused], told[unknown], c.Transactions, c.Repeated, c.Conflicts, c.Refused, c.Throttled)
	w.t.Logf("faults of the table %d, of the bucket %d; errors of functions %v; events %v", w.Table.Hurt(), w.Objects.Hurt(), w.failed, w.Bus.Counts())
	for function := range w.failed {
		_, started := w.Lambda.Processes(function)
		w.t.Logf("%s: %d processes", function, started)
	}
}
