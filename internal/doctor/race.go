// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
)

// racers is how many clients move one tag at the same moment.
const racers = 8

// race lets clients move one tag at once, each if it is still where all of them saw it. One of them may.
func (p *patient) race(ctx context.Context) (Finding, error) {
	if p.pushed == "" {
		return skipped("no manifest could be pushed"), nil
	}
	if !p.conditions {
		return skipped("conditions do not even hold of one write after the other"), nil
	}
	a, err := p.tag(ctx, "race", p.image, nil)
	if err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusCreated {
		return failed(a.String(), "no image can be pushed", seeLog), nil
	}
	images := make([][]byte, racers)
	for i := range images {
		images[i] = p.manifest(fmt.Sprintf("race %d", i), p.layer)
		p.tags[digestOf(images[i])] = true
	}
	answers, errs := make([]answer, racers), make([]error, racers)
	var all sync.WaitGroup
	for i := range images {
		all.Go(func() {
			answers[i], errs[i] = p.do(ctx, request{method: http.MethodPut, path: p.in("manifests/race"), body: images[i],
				header: map[string]string{"Content-Type": manifestType, "If-Match": `"` + p.pushed + `"`}})
		})
	}
	all.Wait()
	now, _, err := p.fetch(ctx, request{method: http.MethodGet, path: p.in("manifests/race"), header: map[string]string{"Accept": manifestType}})
	if err != nil {
		return Finding{}, err
	}
	return judgeRace(images, answers, errs, now), nil
}

// judgeRace looks at who won, and at what the tag points to afterwards.
func judgeRace(images [][]byte, answers []answer, errs []error, now answer) Finding {
	const means, change = "two clients that move one tag both believe that they did, and one image is lost",
		"Something on the way repeats requests, drops conditions or answers by itself; or the table's conditions do not hold: report it."
	won, lost, unsure, winner := 0, 0, 0, -1
	for i, a := range answers {
		switch {
		case errs[i] != nil || a.has(http.StatusServiceUnavailable, http.StatusTooManyRequests):
			unsure++
		case a.status == http.StatusCreated:
			won, winner = won+1, i
		case a.status == http.StatusPreconditionFailed:
			lost++
		default:
			return failed(a.String(), means, change)
		}
	}
	saw := fmt.Sprintf("of %d at once %d moved the tag, %d were told that it had moved (412), and %d to come again", len(answers), won, lost, unsure)
	at := slices.IndexFunc(images, func(b []byte) bool { return slices.Equal(b, now.body) })
	if won > 1 || won == 0 && unsure == 0 || now.status != http.StatusOK || winner >= 0 && at != winner {
		return failed(fmt.Sprintf("%s; it points to the image of number %d, and number %d was told that it won", saw, at, winner), means, change)
	}
	return passed("%s", saw)
}
