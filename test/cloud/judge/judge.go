// SPDX-License-Identifier: Apache-2.0

// Package judge stands in front of S3, DynamoDB and Lambda as AWS's permissions do: every request must be signed by a
// function of the stack, or have been presigned by one, and pass that function's role. What passes is signed anew for the
// stand-in behind. It keeps count of the permissions that were used, and of everything that it refused.
//
// It believes that every request came over TLS: the addresses of AWS have nothing else, and loopback needs none.
package judge

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"tare/test/cloud/policy"
	"tare/test/cloud/template"
)

// Config is whom a judge judges.
type Config struct {
	Stack     template.Stack
	Setting   template.Setting // as the stack was read with; its account and Region are in ARNs
	AccessKey string           // of the engines behind: with it, and
	SecretKey string           // its secret, everything is allowed there
	Now       func() time.Time // nil: the system's
	Log       *slog.Logger     // refusals; nil: none
}

// Judge is safe for concurrent use.
type Judge struct {
	config  Config
	actors  map[string]*actor // by logical id of a function or of a role
	signers map[string]*actor // by access key
	buckets map[string]*policy.Document

	mu       sync.Mutex
	used     map[policy.Use]int
	calls    map[string]int // by actor and call
	refusals []Refusal
	passed   map[string]passage // of each kind one
}

// actor is a function, a role that is none's, or the deployer.
type actor struct {
	id                              string
	role                            string // ARN
	session                         string // ARN of what acts in the role
	accessKey, secretKey, sessionID string
	documents                       []policy.Document
}

// Refusal is a request that did not pass.
type Refusal struct {
	Kind     Kind
	Actor    string // logical id; "": nobody that is known
	Action   string // of a permission
	Resource string
	Why      string
}

// Kind says what was wrong.
type Kind string

// Of these, the last is the fault of who sent the request, as of a client with a URL that has expired. The others are
// those of the template or of our code.
const (
	Permission Kind = "permission" // a permission is missing
	Unknown    Kind = "unknown"    // the call is not known here
	Signature  Kind = "signature"  // the signature is not good, or no more
)

func (r Refusal) String() string {
	return fmt.Sprintf("%s: %s %s on %s: %s", r.Kind, r.Actor, r.Action, r.Resource, r.Why)
}

// maxRefusals bounds what is kept of them.
const maxRefusals = 1000

// New reads the policies of a stack. One that uses what is not known here is an error.
func New(c Config) (*Judge, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Setting = c.Setting.Complete()
	j := &Judge{config: c, actors: map[string]*actor{}, signers: map[string]*actor{}, buckets: map[string]*policy.Document{},
		used: map[policy.Use]int{}, calls: map[string]int{}, passed: map[string]passage{}}
	for _, role := range c.Stack.Roles {
		a := &actor{id: role.ID, role: role.ARN, session: sessionOf(role, role.ID)}
		for _, p := range role.Policies {
			doc, err := j.parse(role.ID+"/"+p.Name, p.Document, policy.OfRole)
			if err != nil {
				return nil, err
			}
			a.documents = append(a.documents, doc)
		}
		j.actors[role.ID] = a
	}
	for _, f := range c.Stack.Functions {
		role := j.actors[f.Role]
		if role == nil {
			return nil, fmt.Errorf("function %s has no role", f.ID)
		}
		session := role.session[:strings.LastIndexByte(role.session, '/')+1] + f.Name
		j.employ(&actor{id: f.ID, role: role.role, session: session, documents: role.documents})
	}
	if err := j.employDeployer(); err != nil {
		return nil, err
	}
	for _, b := range c.Stack.Buckets {
		j.buckets[b.Name] = nil
		if b.Policy == nil {
			continue
		}
		doc, err := j.parse(b.ID, b.Policy, policy.OfResource)
		if err != nil {
			return nil, err
		}
		j.buckets[b.Name] = &doc
	}
	return j, nil
}

// deployer is the id of whoever deploys the stack, and may do everything.
const deployer = "deployer"

func (j *Judge) employDeployer() error {
	doc, err := policy.Parse(deployer, []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`), policy.OfRole)
	if err != nil {
		return err
	}
	s := j.config.Setting
	role := template.Role{ARN: "arn:" + s.Partition + ":iam::" + s.Account + ":role/" + deployer}
	j.employ(&actor{id: deployer, role: role.ARN, session: sessionOf(role, deployer), documents: []policy.Document{doc}})
	return nil
}

// employ gives an actor credentials, as Lambda gives them to functions.
func (j *Judge) employ(a *actor) {
	a.accessKey, a.secretKey, a.sessionID = "ASIA"+strings.ToUpper(random(8)), random(20), random(32)
	j.actors[a.id], j.signers[a.accessKey] = a, a
}

// Credentials are the variables with the credentials of a function's role. They are nil for what is no function.
func (j *Judge) Credentials(function string) map[string]string {
	a := j.actors[function]
	if a == nil || a.accessKey == "" {
		return nil
	}
	return map[string]string{"AWS_ACCESS_KEY_ID": a.accessKey, "AWS_SECRET_ACCESS_KEY": a.secretKey, "AWS_SESSION_TOKEN": a.sessionID}
}

// Deployer are the variables with the credentials of whoever deploys the stack, and may do everything.
func (j *Judge) Deployer() map[string]string { return j.Credentials(deployer) }

// parse reads a document, all of whose keys must be known.
func (j *Judge) parse(name string, text []byte, of policy.Of) (policy.Document, error) {
	doc, err := policy.Parse(name, text, of)
	if err != nil {
		return doc, err
	}
	for _, key := range doc.Keys() {
		if !slices.Contains(keys[:], key) {
			return doc, fmt.Errorf("policy %s: what a request has of the key %s is not known here", name, key)
		}
	}
	return doc, nil
}

// sessionOf gives the ARN by which AWS names who acts in a role.
func sessionOf(role template.Role, session string) string {
	arn := strings.Replace(role.ARN, ":iam:", ":sts:", 1)
	return strings.Replace(arn, ":role/", ":assumed-role/", 1) + "/" + session
}

func random(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}

// need is one permission that a call has to have.
type need struct {
	action   string
	resource string
	bucket   string // whose policy has a say; "": none
	context  map[string][]string
}

// pass judges needs, all of which must be met.
func (j *Judge) pass(a *actor, call string, needs ...need) *Refusal {
	var uses []policy.Use
	passed := map[string]passage{}
	for _, n := range needs {
		d, why := j.decide(a, n)
		if why != "" {
			r := Refusal{Permission, a.id, n.action, n.resource, why}
			j.refuse(r)
			return &r
		}
		uses = append(uses, d.Uses...)
		passed[fmt.Sprint(a.id, n.action, d.Uses)] = passage{a.id, n}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	maps.Copy(j.passed, passed)
	for _, u := range uses {
		j.used[u]++
	}
	j.calls[a.id+" "+call]++
	return nil
}

// passage is a need that was met.
type passage struct {
	actor string
	need  need
}

// Again judges by the policies of this judge what passed another, of the same stack but for its policies: of each kind of
// request, which is an actor with an action and the permissions that allow it, one. It returns what does not pass here.
func (j *Judge) Again(other *Judge) []Refusal {
	other.mu.Lock()
	defer other.mu.Unlock()
	var refused []Refusal
	for _, kind := range slices.Sorted(maps.Keys(other.passed)) {
		p := other.passed[kind]
		a := j.actors[p.actor]
		if a == nil {
			refused = append(refused, Refusal{Permission, p.actor, p.need.action, p.need.resource, "there is no such function or role"})
		} else if _, why := j.decide(a, p.need); why != "" {
			refused = append(refused, Refusal{Permission, p.actor, p.need.action, p.need.resource, why})
		}
	}
	return refused
}

// InClear tells whether requests of the stack's functions that do not come over TLS would pass the policy of a bucket.
func (j *Judge) InClear(bucket string) bool {
	arn := "arn:" + j.config.Setting.Partition + ":s3:::" + bucket + "/o"
	for _, a := range j.actors {
		for _, action := range []string{"s3:GetObject", "s3:PutObject"} {
			d, _ := j.decide(a, need{action, arn, bucket, map[string][]string{"aws:securetransport": {"false"}}})
			if d.Denied == "" {
				return true
			}
		}
	}
	return false
}

// decide judges one need, and counts nothing. why is "" if it is met.
func (j *Judge) decide(a *actor, n need) (d policy.Decision, why string) {
	context := map[string][]string{"aws:securetransport": {"true"}, "aws:principalarn": {a.role}, "aws:principalaccount": {j.config.Setting.Account}}
	for k, v := range n.context {
		context[k] = v
	}
	d = policy.Evaluate(policy.Request{Principal: a.role, Action: n.action, Resource: n.resource, Context: context}, a.documents, j.buckets[n.bucket])
	switch {
	case d.Allowed:
		return d, ""
	case d.Denied != "":
		return d, "an explicit deny: " + d.Denied
	default:
		return d, "no policy allows it"
	}
}

// refuse keeps a refusal.
func (j *Judge) refuse(r Refusal) {
	j.config.Log.Error("Refused.", "kind", r.Kind, "actor", r.Actor, "action", r.Action, "resource", r.Resource, "why", r.Why)
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.refusals) < maxRefusals {
		j.refusals = append(j.refusals, r)
	}
}

// errRefused is what [Judge.Ask] fails with.
var errRefused = errors.New("access denied")

// Ask judges what no request shows: what AWS itself does in a role's name, as to write logs, to send a failed event to its
// queue, or to invoke a function on schedule. who is the logical id of a function or role.
func (j *Judge) Ask(who, action, resource string) error {
	a := j.actors[who]
	if a == nil {
		return fmt.Errorf("%w: there is no function or role %s", errRefused, who)
	}
	if r := j.pass(a, action, need{action: action, resource: resource}); r != nil {
		return fmt.Errorf("%w: %v", errRefused, r)
	}
	return nil
}
