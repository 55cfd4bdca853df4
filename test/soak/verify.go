// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"tare/test/soak/ledger"
)

// everything is the number of manifests and tags that a full look takes.
const everything = 1 << 30

// verify reads whatever clients were ever told of, or a sample of so many manifests: the ledger judges what comes. Of
// a manifest that is there it reads every blob, to the last byte.
func (r *rig) verify(ctx context.Context, most int) error {
	for _, b := range r.some(r.ledger.Promised(), most) {
		if _, _, err := r.get(ctx, b.Repo+"/blobs/"+b.Digest); err != nil {
			return err
		}
	}
	manifests := r.ledger.Manifests()
	r.random.Shuffle(len(manifests), func(i, j int) { manifests[i], manifests[j] = manifests[j], manifests[i] })
	for i, m := range manifests {
		if i >= most {
			break
		}
		if err := r.pull(ctx, m, most == everything); err != nil {
			return err
		}
	}
	for _, repo := range r.ledger.Repositories() {
		if err := r.verifyTags(ctx, repo); err != nil {
			return err
		}
	}
	return r.judge()
}

// some returns most of a list at random.
func (r *rig) some(blobs []ledger.Blob, most int) []ledger.Blob {
	r.random.Shuffle(len(blobs), func(i, j int) { blobs[i], blobs[j] = blobs[j], blobs[i] })
	return blobs[:min(most, len(blobs))]
}

// pull reads a manifest by its digest, its blobs, and what refers to it if it is asked to.
func (r *rig) pull(ctx context.Context, m ledger.Known, referrers bool) error {
	status, err := r.read(ctx, m.Repo+"/manifests/"+m.Digest)
	if err != nil {
		return err
	}
	if status == http.StatusOK {
		for _, blob := range m.Blobs {
			if _, err := r.read(ctx, m.Repo+"/blobs/"+blob); err != nil {
				return err
			}
		}
	}
	if !referrers || r.rival { // not all have such lists
		return nil
	}
	judge := r.ledger.Referred(m.Repo, m.Digest)
	var index struct{ Manifests []struct{ Digest string } }
	if err := r.list(ctx, m.Repo+"/referrers/"+m.Digest, &index); err != nil {
		return err
	}
	var digests []string
	for _, d := range index.Manifests {
		digests = append(digests, d.Digest)
	}
	judge(digests)
	return nil
}

func (r *rig) verifyTags(ctx context.Context, repo string) error {
	judge := r.ledger.Listed(repo)
	var list struct{ Tags []string }
	if err := r.list(ctx, repo+"/tags/list", &list); err != nil {
		return err
	}
	judge(list.Tags)
	for _, tag := range r.ledger.Tags(repo) {
		if _, err := r.read(ctx, repo+"/manifests/"+tag); err != nil {
			return err
		}
	}
	return nil
}

// acceptable is what some registries want to be told before they show a manifest.
var acceptable = []string{
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.oci.image.index.v1+json",
	"*/*",
}

// read reads what is there, or is not, on a full disk as on any other.
func (r *rig) read(ctx context.Context, path string) (status int, err error) {
	status, body, err := r.get(ctx, path)
	if err == nil && status == http.StatusInsufficientStorage {
		err = fmt.Errorf("%s: %s", path, body)
	}
	return status, err
}

// get reads a path below /v2/ to its end. Statuses of 500 and above are errors, apart from that of a full disk: to look at
// a blob that no manifest lists may be to renew its lease.
func (r *rig) get(ctx context.Context, path string) (int, []byte, error) {
	return r.ask(ctx, http.MethodGet, path)
}

func (r *rig) ask(ctx context.Context, method, path string) (int, []byte, error) {
	q, err := http.NewRequestWithContext(ctx, method, "http://"+r.Addr+"/v2/"+path, nil)
	if err != nil {
		return 0, nil, err
	}
	q.Header["Accept"] = acceptable
	a, err := r.http.Do(q)
	if err != nil {
		return 0, nil, err
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	if err == nil && a.StatusCode >= 500 && a.StatusCode != http.StatusInsufficientStorage {
		err = fmt.Errorf("%s %s: %s: %s", method, path, a.Status, body)
	}
	if err != nil && r.rival {
		r.ledger.Lose("%v", err)
		return http.StatusNotFound, nil, nil
	}
	return a.StatusCode, body, err
}

// list reads a list, which is empty where there is none.
func (r *rig) list(ctx context.Context, path string, into any) error {
	status, body, err := r.get(ctx, path)
	if err != nil || status == http.StatusNotFound {
		return err
	}
	return json.Unmarshal(body, into)
}

// empty deletes everything that clients pushed, waits until every margin has passed, and finds out whether anything is
// left. It ends the registry.
func (r *rig) empty(ctx context.Context) error {
	// An index keeps what it lists, and what it lists may be an index: each pass deletes the outermost ones.
	for left := everything; left > 0; {
		before := left
		left = 0
		for _, m := range r.ledger.Manifests() {
			status, body, err := r.ask(ctx, http.MethodDelete, m.Repo+"/manifests/"+m.Digest)
			switch {
			case err != nil:
				return err
			case status == http.StatusMethodNotAllowed:
				left++
			case status != http.StatusAccepted && status != http.StatusNotFound:
				return fmt.Errorf("deleting %s@%s: %d: %s", m.Repo, m.Digest, status, body)
			}
		}
		if left >= before {
			return fmt.Errorf("%d manifests cannot be deleted", left)
		}
	}
	if err := r.awaitNothing(ctx); err != nil {
		return err
	}
	rows, err := r.rows(ctx)
	if err != nil {
		return err
	}
	if len(rows) > 0 {
		r.ledger.Lose("everything is deleted, and %d rows are left, as %s", len(rows), slices.Min(rows))
	}
	if err := r.Stop(ctx); err != nil {
		return err
	}
	r.ledger.Dead()
	return r.wantNoFiles()
}

// awaitNothing waits until nothing waits to be removed.
func (r *rig) awaitNothing(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		waiting, err := r.Command(ctx, "gc", "--list")
		if err == nil && len(lines(waiting)) == 1 { // what was swept, and nothing that waits
			return nil
		}
		if err := errors.Join(err, sleep(ctx, time.Second/2)); err != nil {
			r.ledger.Lose("everything is deleted, and after %v there still waits: %s (%v)", patience, waiting, err)
			return nil
		}
	}
}
