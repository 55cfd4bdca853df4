// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tare/internal/refcount"
)

// keeperScenarios are what the keepers of a registry do, and what its doors do for a new rule.
func keeperScenarios() []scenario {
	return []scenario{
		{"credentials", nil, credentials, true},
		{"rotate a secret", pushBlob(repo, small), rotate, true},
		{"apply the untagged rule, in rounds", all(pushImage(repo, "v1", small), deleteTag(repo, "v1"), forget, untaggedRule),
			all(goOnUntagged, wait(2*time.Hour), goOnUntagged, wait(49*time.Hour), sweep(refcount.SweepOptions{})), false},
	}
}

// credentials makes a credential, finds it, and revokes it.
func credentials(ctx context.Context, p *process) error {
	c := refcount.Credential{Name: "me", Rights: "push", Sum: [32]byte{1}, Made: p.clock.Now()}
	if err := p.ledger.PutCredential(ctx, c, true); err != nil {
		return err
	}
	found, ok, err := p.ledger.Credential(ctx, c.Name)
	if err != nil {
		return err
	}
	if !ok || found.Sum != c.Sum {
		return fmt.Errorf("the credential is %+v, %v: %w", found, ok, errUnexpected)
	}
	if list, _, err := p.ledger.Credentials(ctx, "", 10); err != nil || len(list) != 1 {
		return errors.Join(err, fmt.Errorf("%d credentials: %w", len(list), errUnexpected))
	}
	if err := p.ledger.RevokeCredential(ctx, c.Name); !errors.Is(err, refcount.ErrCredentialUnknown) {
		return err
	}
	return nil
}

// rotate replaces the secret that signs the ids of uploads, unless an earlier attempt has.
func rotate(ctx context.Context, p *process) error {
	_, err := p.ledger.Rotate(ctx, "upload", p.margins.UploadTTL, false)
	if errors.Is(err, refcount.ErrRotating) {
		return nil
	}
	return err
}

// goOnUntagged applies the rule for a while, which is enough for all.
func goOnUntagged(ctx context.Context, p *process) error {
	_, err := p.ledger.GoOnUntagged(ctx, p.clock.Now().Add(time.Minute))
	return err
}
