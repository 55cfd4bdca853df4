// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// gcCmd sweeps.
type gcCmd struct {
	folderFlags

	List          bool `help:"List what waits one by one, instead of adding it up." env:"-"`
	GiveUpMargins bool `help:"Free space at once: remove what waits only for its undo window, for pushes under way or for running downloads." env:"-"`
	Yes           bool `help:"Do not ask before the margins are given up." short:"y" env:"-"`
}

const giveUpWarning = `Giving up the margins removes at once:
  - deleted manifests: they cannot be undeleted any more;
  - blobs that no manifest lists: a push under way that counts on one fails and has to be repeated;
  - their bytes: a download of them that is under way breaks off.
Tagged images, and all that a manifest lists, stay.
`

// giveUpWords is what a person types to confirm.
const giveUpWords = "give up"

// Run sweeps and tells what waits.
func (cmd *gcCmd) Run(ctx context.Context, c *console) (err error) {
	if cmd.GiveUpMargins && !cmd.Yes {
		if err := c.confirm(giveUpWarning, giveUpWords); err != nil {
			return err
		}
	}
	admin, err := openAdministration(ctx, c, cmd.folderFlags)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.Close()) }()
	var done swept
	var waiting []waits
	progress := newProgress(c)
	err = admin.gc(ctx, gcRequest{GiveUpMargins: cmd.GiveUpMargins, List: cmd.List}, func(line gcLine) error {
		switch {
		case line.Swept != nil:
			done = *line.Swept
			progress.show("%d objects deleted, %v freed", done.Objects, size(done.Bytes))
		case line.Waits != nil && cmd.List:
			return printWaits(c.out, *line.Waits)
		case line.Waits != nil:
			waiting = append(waiting, *line.Waits)
		}
		return nil
	})
	progress.end()
	if err != nil {
		return err
	}
	printSwept(c.out, done)
	if !cmd.List {
		if err := printWaiting(c.out, waiting, c.clock.Now()); err != nil {
			return err
		}
	}
	if done.Failed > 0 {
		return fmt.Errorf("%d rows could not be handled: %s", done.Failed, strings.Join(done.Errors, "; "))
	}
	return nil
}

// confirm asks a person to type the words. Without a person there is no consent.
func (c *console) confirm(warning, words string) error {
	fmt.Fprint(c.err, warning)
	if !c.terminal {
		return usagef("nobody is there to confirm: say --yes")
	}
	fmt.Fprintf(c.err, "Type %q to go on: ", words)
	line, err := bufio.NewReader(c.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(line) != words {
		return errors.New("not confirmed")
	}
	return nil
}

func printSwept(w io.Writer, s swept) {
	var parts []string
	for _, part := range []struct {
		n        int
		one, all string
	}{
		{s.Manifests, "manifest", "manifests"},
		{s.Tags, "tag", "tags"},
		{s.Links, "blob of a repository", "blobs of repositories"},
		{s.Blobs, "blob", "blobs"},
		{s.Uploads, "upload", "uploads"},
		{s.Objects, "object", "objects"},
		{s.Repositories, "repository", "repositories"},
	} {
		switch part.n {
		case 0:
		case 1:
			parts = append(parts, "1 "+part.one)
		default:
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.all))
		}
	}
	if len(parts) == 0 {
		fmt.Fprintln(w, "Swept: nothing was due.")
		return
	}
	fmt.Fprintf(w, "Swept: %s; %v freed.\n", strings.Join(parts, ", "), size(s.Bytes))
}

// printWaiting writes what waits as a table.
func printWaiting(w io.Writer, waiting []waits, now time.Time) error {
	if len(waiting) == 0 {
		_, err := fmt.Fprintln(w, "Nothing waits.")
		return err
	}
	fmt.Fprintln(w, "Waiting:")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  WHAT\tHOW MANY\tBYTES\tGOES IN\tWHY")
	for _, v := range waiting {
		until := wait(v.First.Sub(now))
		if last := wait(v.Last.Sub(now)); last != until {
			until += " to " + last
		}
		fmt.Fprintf(t, "  %s\t%d\t%v\t%s\t%s\n", v.Kind, v.Count, size(v.Bytes), until, v.Why)
	}
	return t.Flush()
}

// printWaits writes one thing that waits as a line of tab-separated fields.
func printWaits(w io.Writer, v waits) error {
	_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", v.First.Format(time.RFC3339), v.Kind, v.Repository, v.Name, v.Bytes, v.Why)
	return err
}
