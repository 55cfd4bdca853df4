// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"tare/internal/auth"
	"tare/internal/clock"
	"tare/internal/refcount"
	"tare/internal/store"
)

// operator does what whoever runs the registry asks of it. No HTTP request can: it takes the right to invoke the function,
// which is the proof. docs/operations.md has the commands.
type operator struct {
	ledger *refcount.Ledger
	clock  clock.Clock
	log    *slog.Logger
}

// order is what an operator asks.
type order struct {
	Tare string `json:"tare"` // credential, rotate, undelete or explain

	// Of credentials.
	Do      string `json:"do"` // mint, list or revoke
	Name    string `json:"name"`
	Rights  string `json:"rights"`  // pull, push or admin
	Replace bool   `json:"replace"` // mint: also where there is one of the name
	Last    string `json:"last"`    // list: names after this one

	// Of secrets.
	Secret string `json:"secret"` // upload or token
	Forget bool   `json:"forget"` // at once, with all that it signed

	// Of what is kept.
	Target string `json:"target"` // repository:tag or repository@digest
}

// report is the answer. It has an error, or what was done.
type report struct {
	Error       string       `json:"error,omitempty"`
	Name        string       `json:"name,omitempty"`
	Rights      string       `json:"rights,omitempty"`
	Token       string       `json:"token,omitempty"`
	Credentials []credential `json:"credentials,omitempty"`
	More        bool         `json:"more,omitempty"`
	Note        string       `json:"note,omitempty"`

	Undeleted *refcount.Restored    `json:"undeleted,omitempty"`
	Explained *refcount.Explanation `json:"explained,omitempty"`
}

type credential struct {
	Name   string    `json:"name"`
	Rights string    `json:"rights"`
	Made   time.Time `json:"made"`
}

// maxOrder bounds an order, in bytes.
const maxOrder = 64 << 10

// serve does what the order says. An order that cannot be done is no fault of the function.
func (o *operator) serve(ctx context.Context, payload []byte) report {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var what order
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&what); err != nil || len(payload) > maxOrder {
		return report{Error: "this is no order: " + cause(err, "it is too long")}
	}
	r, err := o.do(ctx, what)
	if err == nil {
		return r
	}
	if errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknownOutcome) || ctx.Err() != nil {
		o.log.Warn("An order could not be done.", "order", what.Tare, "do", what.Do, "error", err)
		return report{Error: "the table did not answer, and the order may have been done: look, and repeat it"}
	}
	return report{Error: err.Error()}
}

func cause(err error, otherwise string) string {
	if err == nil {
		return otherwise
	}
	return err.Error()
}

func (o *operator) do(ctx context.Context, what order) (report, error) {
	switch what.Tare + " " + what.Do {
	case "credential mint":
		return o.mint(ctx, what)
	case "credential list":
		return o.list(ctx, what)
	case "credential revoke":
		return o.revoke(ctx, what)
	case "rotate ":
		return o.rotate(ctx, what)
	case "undelete ":
		return o.undelete(ctx, what)
	case "explain ":
		return o.explain(ctx, what)
	}
	return report{}, errors.New(`it is none of {"tare":"credential","do":"mint"|"list"|"revoke",…}, {"tare":"rotate","secret":…}, ` +
		`{"tare":"undelete","target":…} and {"tare":"explain","target":…}`)
}

// mint makes a credential. Its token is 32 random bytes, told in this answer and nowhere else.
func (o *operator) mint(ctx context.Context, what order) (report, error) {
	if _, ok := auth.Rights(what.Rights); !ok {
		return report{}, fmt.Errorf("rights are %q, none of pull, push and admin", what.Rights)
	}
	random := make([]byte, sha256.Size)
	if _, err := rand.Read(random); err != nil {
		return report{}, err
	}
	token := "tare_" + base64.RawURLEncoding.EncodeToString(random)
	c := refcount.Credential{Name: what.Name, Rights: what.Rights, Sum: sha256.Sum256([]byte(token)), Made: o.clock.Now()}
	err := o.ledger.PutCredential(ctx, c, what.Replace)
	if errors.Is(err, refcount.ErrCredentialExists) {
		return report{}, fmt.Errorf(`%w: add "replace":true to give it a new token`, err)
	}
	if err != nil {
		return report{}, err
	}
	o.log.Info("A credential was made.", "name", c.Name, "rights", c.Rights, "replace", what.Replace)
	return report{Name: c.Name, Rights: c.Rights, Token: token,
		Note: "log in with this name, and the token as the password; it is not shown again"}, nil
}

// maxListed is how many credentials an answer has.
const maxListed = 1000

func (o *operator) list(ctx context.Context, what order) (report, error) {
	found, more, err := o.ledger.Credentials(ctx, what.Last, maxListed)
	if err != nil {
		return report{}, err
	}
	r := report{More: more}
	for _, c := range found {
		r.Credentials = append(r.Credentials, credential{c.Name, c.Rights, c.Made})
	}
	if len(found) == 0 {
		r.Note = "there are none: nobody can log in"
	}
	return r, nil
}

func (o *operator) revoke(ctx context.Context, what order) (report, error) {
	if err := o.ledger.RevokeCredential(ctx, what.Name); err != nil {
		return report{}, err
	}
	o.log.Info("A credential was revoked.", "name", what.Name)
	return report{Name: what.Name, Note: "revoked; within 30 seconds nobody gets in with it"}, nil
}

func (o *operator) rotate(ctx context.Context, what order) (report, error) {
	var life time.Duration
	switch what.Secret {
	case "upload":
		life = o.ledger.Margins().UploadTTL
	case "token":
		life = auth.TokenLife
	default:
		return report{}, fmt.Errorf("secret is %q, neither upload nor token", what.Secret)
	}
	until, err := o.ledger.Rotate(ctx, what.Secret, life, what.Forget)
	if errors.Is(err, refcount.ErrRotating) {
		return report{}, fmt.Errorf(`%w; if others know the secret, add "forget":true, which ends all that it signed`, err)
	}
	if err != nil {
		return report{}, err
	}
	o.log.Info("A secret was rotated.", "secret", what.Secret, "forget", what.Forget)
	if until.IsZero() {
		return report{Name: what.Secret, Note: "replaced; what the old one signed is refused everywhere within a minute"}, nil
	}
	return report{Name: what.Secret, Note: "what the old one signed is good until " + until.Format(time.RFC3339)}, nil
}
