// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
)

// undeleteCmd brings a deleted manifest back.
type undeleteCmd struct {
	folderFlags

	Target string `arg:"" help:"repository:tag or repository@digest." placeholder:"TARGET"`
}

// Run asks for the manifest and prints what came back.
func (cmd *undeleteCmd) Run(ctx context.Context, c *console) (err error) {
	target, err := parseTarget(cmd.Target)
	if err != nil {
		return usageError{err}
	}
	admin, err := openAdministration(ctx, c, cmd.folderFlags)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.Close()) }()
	result, err := admin.undelete(ctx, target)
	if err != nil {
		return err
	}
	for _, d := range result.Manifests {
		fmt.Fprintf(c.out, "Brought back the manifest %s@%s.\n", target.Repository, d)
	}
	for _, tag := range result.Tags {
		fmt.Fprintf(c.out, "Brought back the tag %s:%s.\n", target.Repository, tag)
	}
	for _, l := range result.Lost {
		fmt.Fprintf(c.out, "Did not bring back %s: %s.\n", l.Name, l.Reason)
	}
	return nil
}
