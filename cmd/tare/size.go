// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
)

// sizeCmd tells what repositories keep.
type sizeCmd struct {
	folderFlags

	Repository string `arg:"" optional:"" help:"Only this repository." placeholder:"REPOSITORY"`
}

// Run prints a table of repositories.
func (cmd *sizeCmd) Run(ctx context.Context, c *console) (err error) {
	admin, err := openAdministration(ctx, c, cmd.folderFlags)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.Close()) }()
	t := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "REPOSITORY\tBYTES\tEXCLUSIVE\tSHARED\tBLOBS\tMANIFESTS\tTAGS")
	err = admin.size(ctx, sizeRequest{cmd.Repository}, func(s repositorySize) error {
		_, err := fmt.Fprintf(t, "%s\t%v\t%v\t%v\t%d\t%d\t%d\n", s.Repository, size(s.Bytes), size(s.Exclusive), size(s.Bytes-s.Exclusive), s.Blobs, s.Manifests, s.Tags)
		return err
	})
	if err != nil {
		return err
	}
	return t.Flush()
}
