// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"fmt"
	"strings"
	"time"

	"tare/internal/store/faultstore"
)

// script is a history before it happens: who does what, and, once it was run, in which order their store calls were let
// in and what met them. It is what a seed stands for, what is made smaller when it fails, and what is kept as a test.
//
// Written down it looks so, a line for each client, who are named a, b and on:
//
//	seed 17
//	reads apart
//	parts of a least size
//	setup: image p m0 x; wait 25h0m0s
//	client: upload p b1 put; push p m1 x if m0
//	client: sweep ghosts
//	turns: a a b a:late! b +50s ~a a
//
// A turn names the client whose call is let in, and behind a colon the fault that meets it; an exclamation mark says that
// its client hangs up then. A plus moves the clock. A tilde lets the oldest late call of a client land. A turn of a client
// who does not wait is passed over, and when the turns are at their end all clients go on as they come, without faults.
type script struct {
	seed    uint64
	opts    options
	setup   []operation
	clients [][]operation
	turns   []turn
}

// turn is a step of a schedule.
type turn struct {
	client  int
	action  faultstore.Action
	hangUp  bool
	land    bool
	advance time.Duration // above 0: the clock moves, and no client does
}

// actions are the faults that a schedule has, by the names that they have in a script.
var actions = []faultstore.Action{
	faultstore.DieBefore, faultstore.DieMidway, faultstore.DieAfter, faultstore.Unavailable, faultstore.Contended,
	faultstore.LoseReply, faultstore.LoseCall, faultstore.Late,
}

func dashed(a faultstore.Action) string { return strings.ReplaceAll(a.String(), " ", "-") }

func clientName(i int) string { return string(rune('a' + i)) }

func (t turn) String() string {
	if t.advance > 0 {
		return "+" + t.advance.String()
	}
	s := clientName(t.client)
	if t.land {
		return "~" + s
	}
	if t.action != faultstore.Pass {
		s += ":" + dashed(t.action)
	}
	if t.hangUp {
		s += "!"
	}
	return s
}

func parseTurn(s string) (turn, error) {
	if after, ok := strings.CutPrefix(s, "+"); ok {
		d, err := time.ParseDuration(after)
		return turn{advance: d}, err
	}
	var t turn
	rest, land := strings.CutPrefix(s, "~")
	rest, hangUp := strings.CutSuffix(rest, "!")
	t.land, t.hangUp = land, hangUp
	name, action, faulty := strings.Cut(rest, ":")
	if len(name) != 1 {
		return t, fmt.Errorf("%q: who is %q?", s, name)
	}
	t.client = int(name[0] - 'a')
	if !faulty {
		return t, nil
	}
	for _, a := range actions {
		if dashed(a) == action {
			t.action = a
			return t, nil
		}
	}
	return t, fmt.Errorf("%q: what is %q?", s, action)
}

func (sc script) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d\n", sc.seed)
	switch {
	case sc.opts.backward:
		b.WriteString("reads apart, backward\n")
	case sc.opts.apart:
		b.WriteString("reads apart\n")
	}
	if sc.opts.gathers {
		b.WriteString("parts of a least size\n")
	}
	if sc.opts.waits {
		b.WriteString("settled elsewhere\n")
	}
	if sc.opts.distant {
		b.WriteString("distant table\n")
	}
	line := func(name string, ops []operation) {
		words := make([]string, len(ops))
		for i, o := range ops {
			words[i] = o.String()
		}
		fmt.Fprintln(&b, strings.TrimSpace(name+": "+strings.Join(words, "; ")))
	}
	if len(sc.setup) > 0 {
		line("setup", sc.setup)
	}
	for _, ops := range sc.clients {
		line("client", ops)
	}
	if sc.turns != nil {
		b.WriteString("turns:")
		for _, t := range sc.turns {
			b.WriteString(" " + t.String())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// parseScript reads what String wrote. Lines that begin with # are remarks.
func parseScript(text string) (script, error) {
	var sc script
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, rest, _ := strings.Cut(line, ":")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case line == "distant table":
			sc.opts.distant = true
		case line == "settled elsewhere":
			sc.opts.waits = true
		case line == "reads apart":
			sc.opts.apart = true
		case line == "reads apart, backward":
			sc.opts.apart, sc.opts.backward = true, true
		case line == "parts of a least size":
			sc.opts.gathers = true
		case strings.HasPrefix(line, "seed "):
			if _, err := fmt.Sscanf(line, "seed %d", &sc.seed); err != nil {
				return sc, fmt.Errorf("%q: %w", line, err)
			}
		case name == "setup" || name == "client":
			var ops []operation
			for s := range strings.FieldsFuncSeq(rest, func(r rune) bool { return r == ';' }) {
				o, err := parseOperation(s)
				if err != nil {
					return sc, err
				}
				ops = append(ops, o)
			}
			if name == "setup" {
				sc.setup = ops
			} else {
				sc.clients = append(sc.clients, ops)
			}
		case name == "turns":
			sc.turns = []turn{}
			for s := range strings.FieldsSeq(rest) {
				t, err := parseTurn(s)
				if err != nil {
					return sc, err
				}
				sc.turns = append(sc.turns, t)
			}
		default:
			return sc, fmt.Errorf("%q: what is this line?", line)
		}
	}
	return sc, nil
}
