// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// loadConfig reads a configuration file: one JSON object whose names are those of flags, of any command, without their
// dashes. Lists are arrays, or strings with commas. A name that no setting has is an error. What has no environment
// variable is no setting: it belongs on the command line of the one time that it is meant for. Errors name the file.
func loadConfig(r io.Reader) (kong.Resolver, error) {
	file := configFile{name: "the configuration file"}
	if f, ok := r.(*os.File); ok {
		file.name += " " + f.Name()
	}
	d := json.NewDecoder(r)
	d.UseNumber()
	if err := d.Decode(&file.settings); err != nil {
		return nil, fmt.Errorf("%s is not a JSON object: %w", file.name, err)
	}
	if file.settings == nil {
		return nil, fmt.Errorf("%s is not a JSON object: null", file.name)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s has something after the JSON object", file.name)
	}
	return file, nil
}

type configFile struct {
	name     string // for messages
	settings map[string]any
}

// Validate refuses names that no setting has.
func (c configFile) Validate(app *kong.Application) error {
	known := make(map[string]bool)
	err := kong.Visit(app, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok && len(flag.Envs) > 0 && flag.Name != "config" {
			known[flag.Name] = true
		}
		return next(nil)
	})
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(c.settings)) {
		if !known[name] {
			return fmt.Errorf("%s sets %q, which is no setting", c.name, name)
		}
	}
	return nil
}

// Resolve gives a flag its value from the file. The environment goes before it.
func (c configFile) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	value, ok := c.settings[flag.Name]
	if !ok {
		return nil, nil
	}
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return nil, nil
		}
	}
	text, err := configText(value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	return text, nil
}

// configText writes a value as it would stand on the command line.
func configText(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case json.Number, bool:
		return fmt.Sprint(v), nil
	case []any:
		parts := make([]string, len(v))
		for i, part := range v {
			s, ok := part.(string)
			if !ok || strings.Contains(s, ",") {
				return "", fmt.Errorf("a list holds strings without commas only")
			}
			parts[i] = s
		}
		return strings.Join(parts, ","), nil
	}
	return "", fmt.Errorf("it is neither a string, a number, a boolean nor a list")
}

// dataFlag names the data folder.
type dataFlag struct {
	Data string `help:"The data folder." default:"data"`
}

// logFlags configures the log.
type logFlags struct {
	Level  slog.Level `help:"The least level that is logged: debug, info, warn or error." default:"info"`
	Format string     `help:"How the log is written: ${enum}." enum:"text,json" default:"text"`
}

func (f logFlags) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: f.Level}
	if f.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
