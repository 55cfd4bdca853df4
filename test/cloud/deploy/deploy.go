// SPDX-License-Identifier: Apache-2.0

// Package deploy puts a stack into a cloud on this machine: its table and bucket on stand-ins, its functions as processes
// behind Lambda's Runtime API, its HTTP API on a loopback port, its rules and its schedules.
package deploy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"tare/test/cloud/events"
	"tare/test/cloud/gateway"
	"tare/test/cloud/lambda"
	"tare/test/cloud/schedule"
	"tare/test/cloud/template"
	"tare/test/standin"
)

// Account is the account of everything that is deployed here.
const Account = "123456789012"

// Options say where the programs are, and how badly the cloud behaves.
type Options struct {
	Bootstraps string // folder; the program of the function Api is api/bootstrap
	DynamoDB   string // program of the stand-in
	S3         string // likewise
	Data       string // folder of what the stand-ins keep; a later deployment finds it there

	Listen          string // of the HTTP API; "": a free loopback port
	TLSCert, TLSKey string // files; "": plain HTTP
	TLSAuthority    string // file with who signed the certificate, whom the functions trust with it
	Log             io.Writer
	Weather         events.Weather
	Overlap         time.Duration                                   // how long a transaction is under way at least; see [standin.Overlap]
	Faults          standin.Plan                                    // of the table; after the overlap's
	Concurrency     int                                             // processes of all functions together; 0: 1000
	Recycle         int                                             // events after which a process ends; 0: never
	Interval        time.Duration                                   // of every schedule; 0: as the template says
	Double          float64                                         // the chance that a turn of a schedule comes twice
	Rate, Burst     int                                             // of the HTTP API; 0: an account's default
	TextBodies      bool                                            // see gateway.Options
	Retry           func(attempt int, throttled bool) time.Duration // of asynchronous events; nil: as AWS
	Observe         func(function string, r lambda.Result)          // see lambda.Options
	Judge           Judge                                           // nil: whoever asks may
	Environment     map[string]string                               // more variables for every function
	Far             standin.Far                                     // everybody's connections to the bucket, which then sends no events, knows no judge and has no faults
}

// Judge decides what a role may do. It stands between the functions and the stand-ins.
type Judge interface {
	S3(next http.Handler) http.Handler
	DynamoDB(next http.Handler) http.Handler
	// Lambda judges who signed a request to invoke the function.
	Lambda(r *http.Request, arn string) error
	// Credentials are the variables with the credentials of a function's role.
	Credentials(functionID string) map[string]string
	// Deployer are those of whoever may do everything.
	Deployer() map[string]string
}

// Engines are the stand-ins themselves, for whoever looks at what was left there. They know [standin.AccessKey] alone.
type Engines struct {
	DynamoDB, Table string // URL, name; "": the stack has adopted a table
	S3, Bucket      string
}

// Deployment is a stack that runs.
type Deployment struct {
	URL     string // of the HTTP API
	API     string // of Lambda's own API, for whoever deploys
	Lambda  *lambda.Service
	Gateway *gateway.Gateway
	Bus     *events.Bus
	Meter   *Meter         // of the calls of the table
	Table   *standin.Proxy // in front of the table
	Objects *standin.Proxy // in front of the bucket
	Engines Engines
	S3      string // the address at which everybody reaches the bucket

	stack     template.Stack
	endpoints map[string]string // variables of every function
	options   Options
	schedules []*schedule.Schedule
	closers   []func() error // in the order of the start
}

// Start deploys a stack and returns when its HTTP API listens. No function runs before the first request.
func Start(ctx context.Context, stack template.Stack, o Options) (d *Deployment, err error) {
	if o.Log == nil {
		o.Log = io.Discard
	}
	d = &Deployment{stack: stack, options: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	d.Bus = events.NewBus(o.Weather)
	d.closing(func() error { d.Bus.Close(); return nil })
	table, err := d.startTable(ctx)
	if err != nil {
		return d, fmt.Errorf("table: %w", err)
	}
	objects, err := d.startBucket(ctx)
	if err != nil {
		return d, fmt.Errorf("bucket: %w", err)
	}
	if d.S3, err = d.away(objects); err != nil {
		return d, fmt.Errorf("bucket: %w", err)
	}
	d.endpoints = map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": table, "AWS_ENDPOINT_URL_S3": d.S3}
	if err := d.startLambda(); err != nil {
		return d, fmt.Errorf("functions: %w", err)
	}
	if err := d.startRules(); err != nil {
		return d, err
	}
	if err := d.startGateway(); err != nil {
		return d, fmt.Errorf("HTTP API: %w", err)
	}
	return d, d.startSchedules()
}

func (d *Deployment) closing(f func() error) { d.closers = append(d.closers, f) }

// Close takes the deployment down, from the front to the back. What the stand-ins keep stays.
func (d *Deployment) Close() error {
	var errs []error
	for _, s := range d.schedules {
		s.Stop()
	}
	for i := len(d.closers) - 1; i >= 0; i-- {
		errs = append(errs, d.closers[i]())
	}
	d.closers = nil
	return errors.Join(errs...)
}

// serve serves a handler on a port of an interface and returns its address.
func (d *Deployment) serve(address string, h http.Handler) (string, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", err
	}
	return d.serveOn(listener, h), nil
}

// serveTLS is serve with the certificate of the options.
func (d *Deployment) serveTLS(address string, h http.Handler) (string, error) {
	pair, err := tls.LoadX509KeyPair(d.options.TLSCert, d.options.TLSKey)
	if err != nil {
		return "", err
	}
	listener, err := tls.Listen("tcp", address, &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		return "", err
	}
	return d.serveOn(listener, h), nil
}

func (d *Deployment) serveOn(listener net.Listener, h http.Handler) (address string) {
	server := &http.Server{Handler: h}
	go server.Serve(listener)
	d.closing(server.Close)
	return listener.Addr().String()
}

// startLambda makes the functions of the stack, and the API to invoke them.
func (d *Deployment) startLambda() error {
	// The address of the API is a variable of the functions, which the API needs: so it listens first.
	api := new(late)
	address, err := d.serve("127.0.0.1:0", api)
	if err != nil {
		return err
	}
	d.API = "http://" + address
	d.endpoints["AWS_ENDPOINT_URL_LAMBDA"] = d.API
	var functions []lambda.Function
	for _, f := range d.stack.Functions {
		bootstrap, err := filepath.Abs(filepath.Join(d.options.Bootstraps, strings.ToLower(f.ID), "bootstrap"))
		if err != nil {
			return err
		}
		functions = append(functions, lambda.Function{
			Name: f.Name, ARN: f.ARN, Bootstrap: bootstrap, Timeout: f.Timeout, Memory: f.Memory, Environment: f.Environment,
			Concurrency: f.Concurrency, Retries: f.Invoke.Retries, Age: f.Invoke.Age, OnFailure: f.Invoke.OnFailure,
			Credentials: d.credentials(f.ID),
		})
	}
	maps.Copy(d.endpoints, d.options.Environment)
	if d.options.TLSAuthority != "" {
		d.endpoints["SSL_CERT_FILE"] = d.options.TLSAuthority
	}
	d.Lambda, err = lambda.New(lambda.Options{
		Region: standin.Region, Account: Account, Concurrency: d.options.Concurrency, Common: d.endpoints, Log: d.options.Log,
		Recycle: d.options.Recycle, Wait: d.options.Retry, Observe: d.options.Observe,
	}, functions...)
	if err != nil {
		return err
	}
	d.closing(func() error { d.Lambda.Close(); return nil })
	var allow func(*http.Request, string) error
	if d.options.Judge != nil {
		allow = d.options.Judge.Lambda
	}
	api.set(d.Lambda.API(allow))
	return nil
}

// name is the name of a function of the stack.
func (d *Deployment) name(id string) (string, error) {
	for _, f := range d.stack.Functions {
		if f.ID == id {
			return f.Name, nil
		}
	}
	return "", fmt.Errorf("the stack has no function %s", id)
}

func (d *Deployment) startRules() error {
	for _, r := range d.stack.Rules {
		name, err := d.name(r.Function)
		if err != nil {
			return fmt.Errorf("rule %s: %w", r.ID, err)
		}
		pattern, err := events.Compile(r.Pattern)
		if err != nil {
			return fmt.Errorf("rule %s: %w", r.ID, err)
		}
		d.Bus.Rule(pattern, func(event []byte) error {
			_, err := d.Lambda.Enqueue(name, event)
			return err
		})
	}
	return nil
}

func (d *Deployment) startGateway() error {
	o := gateway.Options{Rate: d.options.Rate, Burst: d.options.Burst, Text: d.options.TextBodies, Account: Account}
	for _, r := range d.stack.Routes {
		name, err := d.name(r.Function)
		if err != nil {
			return fmt.Errorf("route %s: %w", r.Key, err)
		}
		o.Routes = append(o.Routes, gateway.Route{Key: r.Key, Function: name, Timeout: r.Timeout})
	}
	var err error
	if d.Gateway, err = gateway.New(o, d.Lambda); err != nil {
		return err
	}
	listen := d.options.Listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	serve, scheme := d.serve, "http://"
	if d.options.TLSCert != "" {
		serve, scheme = d.serveTLS, "https://"
	}
	address, err := serve(listen, d.Gateway)
	d.URL = scheme + address
	return err
}

func (d *Deployment) startSchedules() error {
	for i, s := range d.stack.Schedules {
		name, err := d.name(s.Function)
		if err != nil {
			return fmt.Errorf("schedule %s: %w", s.ID, err)
		}
		interval := d.options.Interval
		if interval == 0 {
			if interval, err = schedule.Interval(s.Expression); err != nil {
				return fmt.Errorf("schedule %s: %w", s.ID, err)
			}
		}
		if !s.Enabled {
			continue
		}
		d.schedules = append(d.schedules, schedule.Start(interval, d.options.Double, d.options.Weather.Seed+uint64(i), func() {
			if _, err := d.Lambda.Enqueue(name, []byte(s.Input)); err != nil {
				fmt.Fprintf(d.options.Log, "schedule %s: %v\n", s.ID, err)
			}
		}))
	}
	return nil
}
