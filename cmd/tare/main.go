// SPDX-License-Identifier: Apache-2.0

// Command tare is a container registry, and the tool of those who run one.
//
// "tare serve" serves a data folder. The other commands talk to it over a socket in that folder; where no server runs,
// those that can do without open the folder themselves. Settings come from flags, from the environment (TARE_DATA for
// --data) and from a JSON file (--config), in this order of precedence.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"tare/internal/clock"
)

func main() {
	// The first signal ends the context, which lets work come to its end; the second ends the process, since from then
	// on signals do what they do by default.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitShould = 3 // fsck: what is left is not mended, and nothing is lost
	exitMust   = 4 // fsck: content is lost, or may get lost
)

// verdict is an exit code of a command that has told everything else.
type verdict int

func (v verdict) Error() string { return fmt.Sprintf("exit code %d", int(v)) }

// console is what a command has of the world around it.
type console struct {
	in       io.Reader
	out      io.Writer // results
	err      io.Writer // everything else: progress, warnings, the log
	terminal bool      // in is a person's terminal
	clock    clock.Clock
	log      *slog.Logger
}

// commands is the whole command line.
type commands struct {
	Config kong.ConfigFlag `help:"Read settings from this JSON file: an object whose names are those of the flags." placeholder:"FILE"`
	Log    logFlags        `embed:"" prefix:"log-"`

	Serve    serveCmd    `cmd:"" help:"Serve a data folder as a registry."`
	GC       gcCmd       `cmd:"" name:"gc" help:"Sweep now, and tell what waits and why."`
	Undelete undeleteCmd `cmd:"" help:"Bring back a deleted manifest, with its tags and referrers."`
	Size     sizeCmd     `cmd:"" help:"Tell how many bytes each repository keeps."`
	Explain  explainCmd  `cmd:"" help:"Tell why something is there, or when and why it goes."`
	Fsck     fsckCmd     `cmd:"" help:"Check a registry, which may be running, and mend what can be mended."`
	Backup   backupCmd   `cmd:"" help:"Write a consistent copy of a registry, which may be running, to a file."`
	Restore  restoreCmd  `cmd:"" help:"Make a data folder from a backup."`
	Compact  compactCmd  `cmd:"" help:"Give the table's unused pages back to the file system. The server must not run."`
	Doctor   doctorCmd   `cmd:"" help:"Examine a registry from outside, over HTTP: whether what clients depend on comes through."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

// run is the program: it parses args, does what they say and returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var cli commands
	helped := false
	parser, err := newParser(&cli, stdout, stderr, func(int) { helped = true })
	if err != nil {
		fmt.Fprintf(stderr, "tare: %v\n", err)
		return exitFailed
	}
	command, err := parser.Parse(args)
	if helped {
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "tare: %v\n", err)
		return exitUsage
	}
	c := &console{
		in:       stdin,
		out:      stdout,
		err:      stderr,
		terminal: isTerminal(stdin),
		clock:    clock.System{},
		log:      cli.Log.logger(stderr),
	}
	command.BindTo(ctx, (*context.Context)(nil))
	if err := command.Run(c); err != nil {
		var told verdict
		if errors.As(err, &told) {
			return int(told)
		}
		fmt.Fprintf(stderr, "tare: %s\n", explain(err))
		var usage usageError
		if errors.As(err, &usage) {
			return exitUsage
		}
		return exitFailed
	}
	return exitOK
}

// newParser makes the parser of the command line. exit is called after it printed help.
func newParser(cli *commands, stdout, stderr io.Writer, exit func(int)) (*kong.Kong, error) {
	return kong.New(cli,
		kong.Name("tare"),
		kong.Description("A container registry that removes what nothing references, and nothing else."),
		kong.DefaultEnvars("TARE"),
		kong.Configuration(loadConfig),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, Tree: true}),
		kong.Writers(stdout, stderr),
		kong.Exit(exit),
	)
}

// usageError is a command line that cannot be obeyed.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// isTerminal tells whether r is a terminal, at which a person can be asked. Only a terminal has a window: /dev/null, a
// character device as well, has none.
func isTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}
