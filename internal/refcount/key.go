// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"tare/internal/oci"
	"tare/internal/store"
)

// Row kinds: the first letter of a partition key. docs/layout.md shows each with an example.
const (
	kindRepository = "n" // n            / <repository>
	kindTag        = "t" // t#<repo>     / <tag>
	kindTagOf      = "d" // d#<repo>     / <digest>#<tag>
	kindHistory    = "h" // h#<repo>     / <tag>#<milliseconds>#<operation>
	kindManifest   = "m" // m#<repo>     / <digest>
	kindBody       = "y" // y#<repo>     / <digest>
	kindReferrer   = "r" // r#<repo>     / <subject>#<hash of the artifact type>#<digest>
	kindLink       = "l" // l#<repo>     / <digest>
	kindBlob       = "b" // b#<digest>   / b
	kindContent    = "c" // c#<object>   / c
	kindSession    = "s" // s#<upload>   / s
	kindDirect     = "p" // p#<object>   / p
	kindTombstone  = "x" // x#<object>   / x
	kindSecret     = "k" // k            / <name>
	kindCredential = "u" // u            / <name>
	kindWalk       = "w" // w            / untagged
)

func repositoryKey(repo oci.Repository) store.Key {
	return store.Key{PK: kindRepository, SK: string(repo)}
}

func partition(kind string, repo oci.Repository) string { return kind + "#" + string(repo) }

func tagKey(repo oci.Repository, tag oci.Tag) store.Key {
	return store.Key{PK: partition(kindTag, repo), SK: string(tag)}
}

func tagOfKey(repo oci.Repository, d oci.Digest, tag oci.Tag) store.Key {
	return store.Key{PK: partition(kindTagOf, repo), SK: string(d) + "#" + string(tag)}
}

// historyKey orders the moves of a tag by time. Milliseconds have 13 digits until the year 2286.
func historyKey(repo oci.Repository, tag oci.Tag, ms int64, operation string) store.Key {
	return store.Key{PK: partition(kindHistory, repo), SK: string(tag) + "#" + decimal(ms) + "#" + operation}
}

func manifestKey(repo oci.Repository, d oci.Digest) store.Key {
	return store.Key{PK: partition(kindManifest, repo), SK: string(d)}
}

func bodyKey(repo oci.Repository, d oci.Digest) store.Key {
	return store.Key{PK: partition(kindBody, repo), SK: string(d)}
}

// referrerKey orders the referrers of a subject by a hash of their type, which is of any length, so that one type is
// one range.
func referrerKey(repo oci.Repository, subject oci.Digest, artifactType string, d oci.Digest) store.Key {
	return store.Key{PK: partition(kindReferrer, repo), SK: referrerPrefix(subject, artifactType) + string(d)}
}

// referrerPrefix selects the referrers of a subject, of one artifact type or of all ("").
func referrerPrefix(subject oci.Digest, artifactType string) string {
	if artifactType == "" {
		return string(subject) + "#"
	}
	h := sha256.Sum256([]byte(artifactType))
	return string(subject) + "#" + hex.EncodeToString(h[:8]) + "#"
}

func linkKey(repo oci.Repository, d oci.Digest) store.Key {
	return store.Key{PK: partition(kindLink, repo), SK: string(d)}
}

func blobKey(d oci.Digest) store.Key { return store.Key{PK: kindBlob + "#" + string(d), SK: "b"} }

func contentKey(object string) store.Key { return store.Key{PK: kindContent + "#" + object, SK: "c"} }

func sessionKey(id string) store.Key { return store.Key{PK: kindSession + "#" + id, SK: "s"} }

func directKey(object string) store.Key { return store.Key{PK: kindDirect + "#" + object, SK: "p"} }

func tombstoneKey(object string) store.Key {
	return store.Key{PK: kindTombstone + "#" + object, SK: "x"}
}

func secretKey(name string) store.Key { return store.Key{PK: kindSecret, SK: name} }

// walkKey is where the walk stands that applies the rule for untagged manifests.
func walkKey() store.Key { return store.Key{PK: kindWalk, SK: "untagged"} }

func credentialKey(name string) store.Key { return store.Key{PK: kindCredential, SK: name} }

// kindOf returns the row kind of a key and the rest of its partition key: a repository, digest, object or upload.
func kindOf(k store.Key) (kind, rest string) {
	kind, rest, _ = strings.Cut(k.PK, "#")
	return kind, rest
}

// shardOf spreads due rows over the index.
func shardOf(k store.Key) int64 {
	h := fnv.New32a()
	h.Write([]byte(k.PK))
	h.Write([]byte(k.SK))
	return int64(h.Sum32() % Shards)
}

func decimal(n int64) string {
	const digits = 13
	var b [digits]byte
	for i := digits - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return string(b[:])
}

// Objects are named by a random token under a letter that says where their bytes are.
const (
	inObjects = "o" // an object of the store
	inTable   = "i" // a content row
)

// newObject names a key that was never used before (C12).
func (l *Ledger) newObject() string { return inObjects + l.cfg.NewToken() }

// IsObject tells whether a key of the store is one that a ledger makes, and not somebody else's.
func IsObject(key string) bool {
	token, ours := strings.CutPrefix(key, inObjects)
	return ours && len(token) == tokenLength && strings.Trim(token, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// tokenLength is the length of what [Config].NewToken makes.
const tokenLength = 26

func (l *Ledger) newInline() string { return inTable + l.cfg.NewToken() }

func isInline(object string) bool { return strings.HasPrefix(object, inTable) }

// historyTime reads the time out of a history key's sort key.
func historyTime(sk string) time.Time {
	parts := strings.Split(sk, "#")
	if len(parts) != 3 {
		return time.Time{}
	}
	ms, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return time.Time{}
	}
	return fromMilli(ms)
}
