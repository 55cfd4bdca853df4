// SPDX-License-Identifier: Apache-2.0

package cloud

import (
	"time"

	"tare/internal/clock"
	"tare/internal/refcount"
	"tare/internal/store"
)

// Stores are the table and the bucket.
type Stores struct {
	Table   store.Table
	Objects store.Objects
	Parts   store.Multipart
	Direct  store.Direct
}

// inlineLimit is the most bytes of a blob that is kept in the table: four kibibytes are four write units, about what an
// object's put costs, and spare its round trip, its session and its tombstone (design §4).
const inlineLimit = 4 << 10

// Ledger makes the ledger on the stores, with the margins that all functions of a registry must have alike.
func Ledger(s Stores, c clock.Clock, untagged time.Duration) (*refcount.Ledger, error) {
	margins := refcount.DefaultMargins()
	margins.Untagged = untagged
	return refcount.New(refcount.Stores{Table: s.Table, Objects: s.Objects, Parts: s.Parts}, c,
		refcount.Config{Margins: margins, InlineLimit: inlineLimit, Distant: true})
}
