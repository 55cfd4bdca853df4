// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// verb is what a client does. Those that are one request have a line in the history under the same name; an image and a
// pull are several.
type verb string

const (
	upload   verb = "upload"   // a blob, in one of the ways
	cancel   verb = "cancel"   // the upload that was begun last in the repository, whoever is at it
	end      verb = "end"      // that upload, by the closing request that its client makes, too
	head     verb = "head"     // a blob
	fetch    verb = "fetch"    // a blob, with its bytes
	mount    verb = "mount"    // a blob from the other repository
	remove   verb = "remove"   // a blob
	push     verb = "push"     // a manifest, under a tag or by digest, with or without a condition
	get      verb = "get"      // a manifest, by tag or by digest
	untag    verb = "untag"    // a tag
	erase    verb = "delete"   // a manifest
	undelete verb = "undelete" // a manifest
	list     verb = "list"     // the tags of a repository
	sweep    verb = "sweep"    // by a collector

	begin    verb = "begin"    // a direct upload, whose bytes are brought, and which is left there
	complete verb = "complete" // the direct upload that was opened last in the repository, whoever did
	settle   verb = "settle"   // that upload, as an event of the store has it done
	abort    verb = "abort"    // that upload

	pushImage verb = "image"   // a manifest, after looking for all that it lists, and bringing what is not there
	pull      verb = "pull"    // a manifest, by tag or by digest, and all that it lists
	wait      verb = "wait"    // by the clock; only in setups and in sequences
	restart   verb = "restart" // of the process, and of a store on disk; only in sequences
)

var verbs = []verb{upload, cancel, head, fetch, mount, remove, push, get, untag, erase, undelete, list, sweep, pushImage, pull, wait, restart, end, begin, complete, settle, abort}

// The ways of an upload, and of a sweep.
const (
	inOne      = "post"   // one request
	inTwo      = "put"    // a POST, and a PUT with all the bytes
	inHalves   = "half"   // a POST, a PATCH and a PUT
	inChunks   = "patch"  // a POST, two PATCHes and an empty PUT
	directly   = "direct" // a direct upload in one PUT
	inParts    = "parts"  // one in parts
	withGhosts = "ghosts" // the index shows all that was ever due
)

// operation is something that a client does, or asks for.
type operation struct {
	verb     verb
	repo     int
	blob     int
	manifest int    // none: by tag
	tag      int    // none: by digest
	ifMatch  int    // none: no such condition
	ifAbsent bool   // the tag must not be there
	way      string // of an upload, or of a sweep
	time     time.Duration
}

// bare is an operation of which nothing else is said.
func bare(v verb) operation { return operation{verb: v, manifest: none, tag: none, ifMatch: none} }

func (o operation) ofBlob(repo, b int) operation {
	o.repo, o.blob = repo, b
	return o
}

func (o operation) ofManifest(repo, m int) operation {
	o.repo, o.manifest = repo, m
	return o
}

func (o operation) ofTag(repo, t int) operation {
	o.repo, o.tag = repo, t
	return o
}

func repoName(i int) string { return string("pq"[i]) }
func tagName(i int) string  { return string(tags[i]) }

// String writes an operation as a case has it, such as "push p m1 x if m0".
func (o operation) String() string {
	words := []string{string(o.verb)}
	add := func(w string) { words = append(words, w) }
	switch o.verb {
	case restart:
	case wait:
		add(o.time.String())
	case sweep:
		if o.way != "" {
			add(o.way)
		}
	default:
		add(repoName(o.repo))
	}
	switch o.verb {
	case upload, begin, head, fetch, mount, remove:
		add("b" + strconv.Itoa(o.blob))
		if o.verb == upload || o.verb == begin {
			add(o.way)
		}
	case push, pushImage, get, pull, erase, undelete, untag:
		if o.manifest != none {
			add("m" + strconv.Itoa(o.manifest))
		}
		if o.tag != none {
			add(tagName(o.tag))
		}
	}
	switch {
	case o.ifAbsent:
		add("if none")
	case o.ifMatch != none:
		add("if m" + strconv.Itoa(o.ifMatch))
	}
	return strings.Join(words, " ")
}

// parseOperation reads what String wrote.
func parseOperation(s string) (operation, error) {
	words := strings.Fields(s)
	if len(words) == 0 {
		return operation{}, fmt.Errorf("an empty operation")
	}
	o := bare(verb(words[0]))
	if !slices.Contains(verbs, o.verb) {
		return o, fmt.Errorf("%q: no such verb", s)
	}
	condition := false
	for _, w := range words[1:] {
		place, err := strconv.Atoi(w[1:])
		switch {
		case o.verb == wait:
			if o.time, err = time.ParseDuration(w); err != nil {
				return o, err
			}
		case w == "if":
			condition = true
		case condition && w == "none":
			o.ifAbsent = true
		case condition && w[0] == 'm' && err == nil && place < len(manifests):
			o.ifMatch = place
		case w == "p", w == "q":
			o.repo = int(w[0] - 'p')
		case w == "x", w == "y":
			o.tag = int(w[0] - 'x')
		case w[0] == 'b' && err == nil && place < len(blobs):
			o.blob = place
		case w[0] == 'm' && err == nil && place < len(manifests):
			o.manifest = place
		case slices.Contains([]string{inOne, inTwo, inHalves, inChunks, directly, inParts, withGhosts}, w):
			o.way = w
		default:
			return o, fmt.Errorf("%q: what is %q?", s, w)
		}
	}
	return o, nil
}
