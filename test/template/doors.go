// SPDX-License-Identifier: Apache-2.0

package template

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Doors tells by door which variables of its own Tare reads there: the texts TARE_… in the sources of the folder functions,
// as far as the door's own package, or what it calls of the packages that doors share, holds them.
func Doors(functions string) (map[string][]string, error) {
	shared, err := sources(filepath.Join(functions, "internal"))
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(functions)
	if err != nil {
		return nil, err
	}
	doors := map[string][]string{}
	for _, entry := range entries {
		if !entry.IsDir() || entry.Name() == "internal" {
			continue
		}
		own, err := sources(filepath.Join(functions, entry.Name()))
		if err != nil {
			return nil, err
		}
		doors[entry.Name()] = variables(own, shared)
	}
	return doors, nil
}

// sources parses the Go files of a folder and of those in it, tests excepted. A folder that is not there has none.
func sources(folder string) (files []*ast.File, err error) {
	err = filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		files = append(files, file)
		return err
	})
	return files, err
}

// variables follows the names that a door's package uses to the functions of the shared ones, from these to others, and
// collects the variables that stand in any of them.
func variables(own, shared []*ast.File) []string {
	names, read := map[string]bool{}, map[string]bool{}
	for _, file := range own {
		inspect(file, names, read)
	}
	entered := map[ast.Decl]bool{}
	for again := true; again; {
		again = false
		for _, file := range shared {
			for _, decl := range file.Decls {
				if !entered[decl] && declares(decl, names) {
					entered[decl], again = true, true
					inspect(decl, names, read)
				}
			}
		}
	}
	var list []string
	for name := range read {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// declares tells whether a declaration is one of a name: a function, a method, a constant, a variable.
func declares(decl ast.Decl, names map[string]bool) bool {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		return names[d.Name.Name]
	case *ast.GenDecl:
		return slices.ContainsFunc(d.Specs, func(spec ast.Spec) bool {
			v, is := spec.(*ast.ValueSpec)
			return is && slices.ContainsFunc(v.Names, func(name *ast.Ident) bool { return names[name.Name] })
		})
	}
	return false
}

// inspect adds the names that a piece of source uses, and the variables in it.
func inspect(n ast.Node, names, read map[string]bool) {
	variable := regexp.MustCompile(`^TARE_[A-Z_]+$`)
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			names[n.Name] = true
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && variable.MatchString(text) {
				read[text] = true
			}
		}
		return true
	})
}
