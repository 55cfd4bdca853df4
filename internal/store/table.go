// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// Limits of every Table, those of DynamoDB (developer guide, read 2026-11).
const (
	MaxOps   = 100       // operations in a commit
	MaxGet   = 100       // keys in a batch of reads
	MaxTx    = 4 << 20   // bytes in a commit, rows and changes together
	MaxRow   = 400 << 10 // bytes in a row, names included
	MaxPK    = 2048      // bytes
	MaxSK    = 1024      // bytes
	MaxToken = 36        // bytes
	MaxPage  = 1 << 20   // bytes of rows that one Query or Scan reads
	MaxLimit = 1000      // entries of a page of Query, Due, Scan and Objects.List; S3's limit
)

// TokenLife is for how long a Table at least knows the token of a transaction that it applied. A process that
// repeats a transaction for longer may apply it twice. (DynamoDB: ten minutes.)
const TokenLife = 10 * time.Minute

// Table is rows with conditional transactions. All methods are safe for concurrent use and beside one another; all
// answer ErrUnavailable when nothing happened and can be repeated then; a canceled context ends a read with the
// context's error.
type Table interface {
	// Get reads up to MaxGet rows, each strongly: it sees every commit that was acknowledged before the call. The
	// batch is not a snapshot: two rows of it can be of different moments. Row i belongs to key i and is nil where
	// there is none; keys may repeat. No keys is a no-op. More than MaxGet is ErrInvalid.
	Get(ctx context.Context, keys ...Key) ([]Row, error)

	// Query reads a page of one partition in the order of its sort keys. It is strong, as Get is, but not a
	// snapshot, and two pages are of different moments. A row that cannot be read ends the page before it; a page that
	// would begin with one is a *DamagedRow.
	Query(ctx context.Context, q Query) (Page, error)

	// Due reads a page of the index: the keys of rows in shard whose AttrDue is at most until, by due time, and at one
	// time in an order of the store's own, after a position that a page had (the zero DueKey: from the start), 1 to
	// MaxLimit of them. A page that has fewer is the last. The index may lag behind the table and show what is no more; it
	// shows every due row in the end. It is a place to look, never a permission to act.
	Due(ctx context.Context, shard int, until int64, after DueKey, limit int) ([]DueKey, error)

	// Commit applies a transaction, all of it or nothing, at one moment between call and answer.
	//
	// It answers nil when it is applied, now or by an earlier call with the same token; a *Conflict when conditions
	// did not hold; ErrInvalid when it breaks a limit, or when the token was used for a different transaction;
	// ErrExpired when it could not be applied before tx.Before; ErrUnavailable when nothing happened;
	// ErrUnknownOutcome when it may have been applied, or may be until tx.Before. After the last one, the same Tx
	// with the same token may be sent again. A canceled context gives the context's error before the transaction
	// is sent, and ErrUnknownOutcome after.
	//
	// All but nil speak of this call. Where an earlier call's outcome is unknown, a table behind a network may still apply
	// that one after it has refused this one (A9), and after tx.Before it does not ask whether it did: ErrExpired.
	Commit(ctx context.Context, tx Tx) error
}

// Scanner walks all rows of a table, for audits, backups and reports. It is no part of any request.
type Scanner interface {
	// Scan reads a page of 1 to MaxLimit rows in an order of the store's own, after the given key (the zero Key: from
	// the start). Rows that are there throughout are seen once; others perhaps. It is not a snapshot. A row that cannot
	// be read ends the page before it; a page that would begin with one is a *DamagedRow.
	Scan(ctx context.Context, after Key, limit int) (Page, error)
}

// Query selects a range of one partition: sort keys that begin with Prefix and come after After.
type Query struct {
	PK     string
	Prefix string // "" for all
	After  string // exclusive; "" for the start. It need not be there, and need not begin with Prefix
	Limit  int    // rows; 1 to MaxLimit
}

// Item is a row with its key.
type Item struct {
	Key Key
	Row Row
}

// Page is what a Query or Scan read: at most Limit rows, and fewer where MaxPage bytes were reached before.
type Page struct {
	Items []Item
	More  bool // there may be further rows after the last one; never set on an empty page
}

// DueKey is an entry of the index.
type DueKey struct {
	Due int64
	Key Key
}

// Tx is a transaction.
type Tx struct {
	Ops []Op // on distinct keys; 1 to MaxOps
	// Token makes the transaction safe to repeat: random, 1 to MaxToken bytes.
	Token string
	// Before is the moment, by the committer's wall clock, from which it must not be applied. Zero: none. It bounds
	// the age of the clock readings that the transaction relies on.
	Before time.Time
}

// OpKind is what an operation does to its row.
type OpKind uint8

// The operations.
const (
	OpPut    OpKind = 1 + iota // the row becomes Row, whatever it was
	OpUpdate                   // Add, Set and Remove change the row; Add and Set make one that is absent: condition on it
	OpDelete                   // the row goes; an absent one is no error
	OpCheck                    // only the conditions
)

// Op is one operation of a transaction. All of If must hold.
type Op struct {
	Key    Key
	Kind   OpKind
	Row    Row      // OpPut
	Set    []Attr   // OpUpdate: no zero Values
	Add    []Attr   // OpUpdate: integers, added to what is there; an absent attribute counts as 0
	Remove []string // OpUpdate; with neither Set nor Add, a condition must want the row or an attribute of it
	If     []Cond
}

// Compare is a comparison.
type Compare uint8

// The comparisons. Those with a value are false where the attribute is absent or of another kind; strings and bytes
// compare byte by byte.
const (
	Present Compare = 1 + iota
	Absent
	Equal
	Less
	LessEqual
	Greater
	GreaterEqual
)

// Cond is a condition on one attribute, or with no Attr on the row itself (Present, Absent). Present and Absent have no
// Value, the other comparisons have one.
type Cond struct {
	Attr  string
	Is    Compare
	Value Value
}

// Validate tells whether the transaction keeps the limits that do not depend on the rows it meets. Every Table calls
// it first. The error is ErrInvalid.
func (tx Tx) Validate() error {
	invalid := func(k Key, format string, args ...any) error {
		return &Error{Op: "commit", Key: k.String(), Outcome: ErrInvalid, Cause: fmt.Errorf(format, args...)}
	}
	if len(tx.Ops) == 0 || len(tx.Ops) > MaxOps {
		return invalid(Key{}, "%d operations, not 1 to %d", len(tx.Ops), MaxOps)
	}
	if tx.Token == "" || len(tx.Token) > MaxToken || !utf8.ValidString(tx.Token) {
		return invalid(Key{}, "a token of %d bytes, not 1 to %d of UTF-8", len(tx.Token), MaxToken)
	}
	total := 0
	seen := make(map[Key]struct{}, len(tx.Ops))
	for i := range tx.Ops {
		op := &tx.Ops[i]
		if err := op.Key.valid(); err != nil {
			return invalid(op.Key, "%w", err)
		}
		if _, twice := seen[op.Key]; twice {
			return invalid(op.Key, "two operations on one row")
		}
		seen[op.Key] = struct{}{}
		if err := op.valid(); err != nil {
			return invalid(op.Key, "%w", err)
		}
		n := op.size()
		if n > MaxRow {
			return invalid(op.Key, "a row of %d bytes, more than %d", n, MaxRow)
		}
		total += n
	}
	if total > MaxTx {
		return invalid(tx.Ops[0].Key, "%d bytes, more than %d", total, MaxTx)
	}
	return nil
}

// ValidateGet tells whether keys can be read by one [Table.Get]. Every Table calls it first. The error is ErrInvalid.
func ValidateGet(keys []Key) error {
	if len(keys) > MaxGet {
		return &Error{Op: "get", Key: keys[0].String(), Outcome: ErrInvalid, Cause: fmt.Errorf("%d keys, more than %d", len(keys), MaxGet)}
	}
	for _, k := range keys {
		if err := k.valid(); err != nil {
			return &Error{Op: "get", Key: k.String(), Outcome: ErrInvalid, Cause: err}
		}
	}
	return nil
}

// Validate tells whether the query keeps the limits. Every Table calls it first. The error is ErrInvalid.
func (q Query) Validate() error {
	if q.PK == "" || len(q.PK) > MaxPK || len(q.Prefix) > MaxSK || len(q.After) > MaxSK {
		return &Error{Op: "query", Key: q.PK, Outcome: ErrInvalid, Cause: fmt.Errorf("key parts of %d, %d and %d bytes, not 1 to %d, to %d and to %d",
			len(q.PK), len(q.Prefix), len(q.After), MaxPK, MaxSK, MaxSK)}
	}
	if !utf8.ValidString(q.PK) || !utf8.ValidString(q.Prefix) || !utf8.ValidString(q.After) {
		return &Error{Op: "query", Key: q.PK, Outcome: ErrInvalid, Cause: errNoText}
	}
	return ValidateLimit("query", q.Limit)
}

// ValidateLimit tells whether op can be asked for a page of limit entries: 1 to MaxLimit. Query.Validate includes it;
// Due, Scan and Objects.List call it first. The error is ErrInvalid.
func ValidateLimit(op string, limit int) error {
	if limit < 1 || limit > MaxLimit {
		return &Error{Op: op, Outcome: ErrInvalid, Cause: fmt.Errorf("a limit of %d, not 1 to %d", limit, MaxLimit)}
	}
	return nil
}

// errNoText: DynamoDB's strings, which keys and names are, are UTF-8.
var errNoText = errors.New("a key, a name or a text that is not UTF-8")

func (k Key) valid() error {
	if k.PK == "" || len(k.PK) > MaxPK || k.SK == "" || len(k.SK) > MaxSK {
		return fmt.Errorf("key parts of %d and %d bytes, not 1 to %d and 1 to %d", len(k.PK), len(k.SK), MaxPK, MaxSK)
	}
	if !utf8.ValidString(k.PK) || !utf8.ValidString(k.SK) {
		return errNoText
	}
	return nil
}

// valid checks the shape of an operation.
func (op *Op) valid() error {
	for _, c := range op.If {
		if !c.valid() {
			return fmt.Errorf("a condition on %q that compares nothing", c.Attr)
		}
		if err := (Attr{c.Attr, c.Value}).allowed(); err != nil {
			return err
		}
	}
	for _, list := range [][]Attr{op.Row, op.Set, op.Add} {
		for _, a := range list {
			if (a.Name == AttrDue || a.Name == AttrShard) && a.Value.kind != KindInt {
				return fmt.Errorf("attribute %q is made of something else than an integer", a.Name)
			}
			if err := a.allowed(); err != nil {
				return err
			}
		}
	}
	update := len(op.Set)+len(op.Add)+len(op.Remove) > 0
	switch op.Kind {
	case OpPut:
		if update {
			return fmt.Errorf("a put with changes")
		}
		for i, a := range op.Row {
			if a.Name == "" || a.Value.kind == 0 || i > 0 && op.Row[i-1].Name >= a.Name {
				return fmt.Errorf("a row that NewRow did not make")
			}
		}
	case OpUpdate:
		if !update || op.Row != nil {
			return fmt.Errorf("an update without changes, or with a row")
		}
		return op.validUpdate()
	case OpDelete, OpCheck:
		if update || op.Row != nil || op.Kind == OpCheck && len(op.If) == 0 {
			return fmt.Errorf("a delete or check with changes, or a check without conditions")
		}
	default:
		return fmt.Errorf("operation kind %d", op.Kind)
	}
	return nil
}

// validUpdate checks that an update names each attribute once, adds integers only, and removes only from rows that are
// there.
func (op *Op) validUpdate() error {
	// DynamoDB makes no row where it only removes; whether one would be made must not depend on the store.
	if len(op.Set)+len(op.Add) == 0 && !slices.ContainsFunc(op.If, func(c Cond) bool { return c.Is != Absent }) {
		return fmt.Errorf("an update that only removes, of a row that need not be there")
	}
	names := slices.Clone(op.Remove)
	for _, name := range names {
		if err := allowedName(name); err != nil {
			return err
		}
	}
	for _, a := range op.Set {
		if a.Value.kind == 0 {
			return fmt.Errorf("attribute %q set to nothing", a.Name)
		}
		names = append(names, a.Name)
	}
	for _, a := range op.Add {
		if a.Value.kind != KindInt {
			return fmt.Errorf("attribute %q: only integers can be added", a.Name)
		}
		names = append(names, a.Name)
	}
	slices.Sort(names)
	if names[0] == "" || len(slices.Compact(names)) != len(op.Set)+len(op.Add)+len(op.Remove) {
		return fmt.Errorf("an attribute without a name, or changed twice")
	}
	return nil
}

// size counts what the operation brings: the row, or the changes.
func (op *Op) size() int {
	n := op.Row.Size(op.Key)
	for _, list := range [][]Attr{op.Set, op.Add} {
		for _, a := range list {
			n += len(a.Name) + a.Value.size()
		}
	}
	for _, c := range op.If {
		n += len(c.Attr) + c.Value.size()
	}
	return n
}

// valid tells whether the condition can be asked: a comparison with no value would hold for an absent attribute here and
// be refused by DynamoDB.
func (c Cond) valid() bool {
	switch c.Is {
	case Present, Absent:
		return c.Value.kind == 0
	case Equal, Less, LessEqual, Greater, GreaterEqual:
		return c.Attr != "" && c.Value.kind != 0
	}
	return false
}

// Holds tells whether all conditions hold on row, which is nil where it is absent. It is the reference for what a
// condition means; embedded tables call it, others are compared with it.
func Holds(row Row, conds []Cond) bool {
	for _, c := range conds {
		if !c.holds(row) {
			return false
		}
	}
	return true
}

func (c Cond) holds(row Row) bool {
	if c.Attr == "" {
		return (row != nil) == (c.Is == Present)
	}
	v := row.Get(c.Attr)
	switch c.Is {
	case Present:
		return v.kind != 0
	case Absent:
		return v.kind == 0
	case Equal:
		return v == c.Value
	}
	if v.kind != c.Value.kind {
		return false
	}
	cmp := 0
	switch {
	case v.n < c.Value.n || v.s < c.Value.s:
		cmp = -1
	case v != c.Value:
		cmp = 1
	}
	switch c.Is {
	case Less:
		return cmp < 0
	case LessEqual:
		return cmp <= 0
	case Greater:
		return cmp > 0
	case GreaterEqual:
		return cmp >= 0
	}
	return false
}

// Apply returns the row that the operation leaves: nil for a deleted one, row itself for a check. It is ErrInvalid
// when the result is over MaxRow or when an integer would be added to something else.
func (op *Op) Apply(row Row) (Row, error) {
	switch op.Kind {
	case OpPut:
		if op.Row == nil {
			return Row{}, nil
		}
		return op.Row, nil
	case OpDelete:
		return nil, nil
	case OpCheck:
		return row, nil
	}
	out := row
	if out == nil {
		out = Row{}
	}
	for _, a := range op.Add {
		old := out.Get(a.Name)
		if old.kind != 0 && old.kind != KindInt {
			return nil, &Error{Op: "commit", Key: op.Key.String(), Outcome: ErrInvalid, Cause: fmt.Errorf("attribute %q is no integer", a.Name)}
		}
		out = out.set(Attr{a.Name, Int(old.n + a.Value.n)})
	}
	for _, a := range op.Set {
		out = out.set(a)
	}
	for _, name := range op.Remove {
		out = out.remove(name)
	}
	if n := out.Size(op.Key); n > MaxRow {
		return nil, &Error{Op: "commit", Key: op.Key.String(), Outcome: ErrInvalid, Cause: fmt.Errorf("a row of %d bytes, more than %d", n, MaxRow)}
	}
	return out, nil
}
