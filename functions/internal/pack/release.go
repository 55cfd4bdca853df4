// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// release makes a folder anew: the template with the functions' zips in place of their source, and the files beside it.
func release(out, template string, files []string) error {
	text, err := os.ReadFile(template)
	if err != nil {
		return err
	}
	ready, zips, err := withZips(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", template, err)
	}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "template.yaml"), []byte(ready), 0o644); err != nil {
		return err
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, filepath.Base(file)), content, 0o644); err != nil {
			return err
		}
	}
	for _, name := range zips {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			return fmt.Errorf("the template wants %s: %w", name, err)
		}
	}
	return nil
}

// withZips points each function of a template to its zip, which has the name of its logical id in small letters, and takes
// away that it is to be built.
func withZips(template string) (ready string, zips []string, err error) {
	source := regexp.MustCompile(`(?m)^  (\w+):\n    Type: AWS::Serverless::Function\n    Metadata: \{BuildMethod: makefile\}\n    Properties:\n      CodeUri: \.\n`)
	ready = source.ReplaceAllStringFunc(template, func(head string) string {
		id := source.FindStringSubmatch(head)[1]
		name := strings.ToLower(id) + ".zip"
		zips = append(zips, name)
		return "  " + id + ":\n    Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: " + name + "\n"
	})
	if functions := strings.Count(template, "Type: AWS::Serverless::Function"); functions == 0 || functions != len(zips) {
		return "", nil, fmt.Errorf("%d functions, of which %d are built from this folder", functions, len(zips))
	}
	return ready, zips, nil
}
