// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"math"
	"time"

	"tare/internal/oci"
	"tare/internal/store"
)

// Waiting is something that the sweep will look at when its time comes.
type Waiting struct {
	Kind       string
	Repository oci.Repository // "" where it belongs to none
	Name       string         // a tag, digest, upload or object
	Why        string
	Until      time.Time
	Bytes      int64 // that its going may free
}

// Waiting visits all that waits for the sweep, slice by slice of the index, each by time. The moves of tags, which are
// forgotten after Margins.History, are left out. It stops when visit answers false.
func (l *Ledger) Waiting(ctx context.Context, visit func(Waiting) bool) error {
	for shard := range Shards {
		var after store.DueKey
		for {
			hits, err := l.table.Due(ctx, shard, math.MaxInt64, after, store.MaxGet)
			if err != nil {
				return err
			}
			if len(hits) == 0 {
				break
			}
			after = hits[len(hits)-1]
			more, err := l.waiting(ctx, hits, visit)
			if err != nil || !more {
				return err
			}
		}
	}
	return nil
}

func (l *Ledger) waiting(ctx context.Context, hits []store.DueKey, visit func(Waiting) bool) (more bool, err error) {
	var keys []store.Key
	for _, h := range hits {
		if kind, _ := kindOf(h.Key); kind != kindHistory {
			keys = append(keys, h.Key)
		}
	}
	rows, err := l.read(ctx, keys...)
	if err != nil {
		return false, err
	}
	for i, r := range rows {
		if !r.Has(attrDue) {
			continue
		}
		w := Waiting{Until: fromMilli(r.Num(attrDue))}
		w.Kind, w.Repository, w.Name = describe(keys[i])
		w.Why, w.Bytes = l.why(keys[i], r)
		if !visit(w) {
			return false, nil
		}
	}
	return true, nil
}

// why says what a due row waits for, and what its going frees.
func (l *Ledger) why(k store.Key, r store.Row) (string, int64) {
	switch kind, _ := kindOf(k); kind {
	case kindRepository:
		return "a manifest or blob of it went; looked at for whether it is empty", 0
	case kindTag:
		return "expires", 0
	case kindLink:
		if r.Num(attrRefs) > 0 {
			return "nothing: a manifest lists it, and the sweep will clear the due", 0
		}
		return "no manifest lists it; kept for pushes that count on it", r.Num(attrSize)
	case kindBlob:
		return "no repository links it", r.Num(attrSize)
	case kindSession:
		if r.Text(attrState) == stateClosed {
			return "canceled; its id is kept from coming back", 0
		}
		return "not finished", r.Num(attrOffset)
	case kindDirect:
		switch DirectState(r.Text(attrState)) {
		case DirectClosed:
			return "canceled; its id is kept from coming back", 0
		case DirectRejected:
			return "its content had another digest; kept to tell its client", 0
		case DirectVerifying:
			return "complete, and not verified", r.Num(attrSize)
		}
		return "not finished", 0
	case kindTombstone:
		return r.Text(attrWhy) + "; kept for readers and late writers", r.Num(attrBytes)
	case kindManifest:
		m := readManifest(r)
		switch {
		case m.state == stateStaged && m.deletion != "":
			return "deleted; an undelete or a push of it is not finished and can be repeated", m.size
		case m.state == stateStaged:
			return "its push is not finished and can be repeated", 0
		case m.state == stateUndoing && m.deletion == "":
			return "its push was given up", 0
		case m.state == stateUndoing:
			return "deleted; can be undeleted until then", m.size
		}
		return "untagged", m.size
	}
	return "unknown", 0
}
