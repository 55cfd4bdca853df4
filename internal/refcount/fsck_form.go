// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"fmt"
	"strings"

	"tare/internal/oci"
	"tare/internal/store"
)

// malformedKey says what is wrong with a key that no row can have, "" for nothing.
func malformedKey(k store.Key) string {
	kind, rest := kindOf(k)
	ok := true
	switch kind {
	case kindRepository:
		ok = rest == "" && validRepository(k.SK)
	case kindTag:
		ok = validRepository(rest) && validTag(k.SK)
	case kindTagOf:
		digest, name, _ := strings.Cut(k.SK, "#")
		ok = validRepository(rest) && validDigest(digest) && validTag(name)
	case kindHistory:
		name, _, _ := strings.Cut(k.SK, "#")
		ok = validRepository(rest) && validTag(name) && !historyTime(k.SK).IsZero()
	case kindManifest, kindBody, kindLink:
		ok = validRepository(rest) && validDigest(k.SK)
	case kindReferrer:
		parts := strings.Split(k.SK, "#") // subject, hash of the type if it has one, digest
		last := len(parts) - 1
		ok = validRepository(rest) && (last == 1 || last == 2) && validDigest(parts[0]) && validDigest(parts[last])
	case kindBlob:
		ok = validDigest(rest) && k.SK == "b"
	case kindContent:
		ok = isInline(rest) && k.SK == "c"
	case kindSession:
		ok = rest != "" && k.SK == "s"
	case kindDirect, kindTombstone:
		ok = store.ValidObjectKey(rest) && k.SK == kind
	case kindSecret:
	case kindWalk:
		ok = k == walkKey()
	case kindCredential:
		ok = rest == "" && ValidCredential(k.SK)
	default:
		return "a row of an unknown kind"
	}
	if !ok {
		return "a row whose key is of no known form"
	}
	return ""
}

func validRepository(s string) bool { _, err := oci.ParseRepository(s); return err == nil }

func validTag(s string) bool { _, err := oci.ParseTag(s); return err == nil }

func validDigest(s string) bool { _, err := oci.ParseDigest(s); return err == nil }

// malformedRow says what a row of its kind must have and has not, or has in another form; "" for nothing.
func malformedRow(k store.Key, r store.Row) string {
	kind, _ := kindOf(k)
	var texts, nums []string
	switch kind {
	case kindRepository, kindSession:
		texts = []string{attrState, attrVersion}
	case kindDirect:
		texts, nums = []string{attrState, attrVersion, attrRepo, attrDigest}, []string{attrSize}
	case kindTag:
		texts = []string{attrDigest, attrVersion}
	case kindHistory:
		texts = []string{attrDigest}
	case kindManifest:
		texts, nums = []string{attrState, attrVersion, attrHeld}, []string{attrCursor, attrTags, attrParents, attrSize}
	case kindBody:
		texts = []string{attrVersion}
		if !r.Has(attrBody) {
			texts = append(texts, attrObject)
		}
	case kindReferrer:
		texts = []string{attrReferrer}
	case kindLink:
		texts, nums = []string{attrObject}, []string{attrRefs, attrSize}
	case kindBlob:
		texts, nums = []string{attrObject}, []string{attrLinks, attrSize}
	case kindCredential:
		texts, nums = []string{attrRights, attrVersion}, []string{attrCreated}
	case kindTombstone:
		texts, nums = []string{attrWhy, attrVersion}, []string{attrSince}
	}
	if kind == kindCredential && r.Get(attrSum).Kind() != store.KindBytes {
		return fmt.Sprintf("its %q is no bytes", attrSum)
	}
	for _, name := range texts {
		if r.Get(name).Kind() != store.KindString {
			return fmt.Sprintf("its %q is no text", name)
		}
	}
	for _, name := range nums {
		if r.Get(name).Kind() != store.KindInt {
			return fmt.Sprintf("its %q is no number", name)
		}
	}
	if due := r.Get(attrDue).Kind(); due != 0 && due != store.KindInt {
		return fmt.Sprintf("its %q is no number", attrDue)
	}
	return ""
}
