// SPDX-License-Identifier: Apache-2.0

// Package house checks the walls of the house: which room may import which, and what no room may do. The linter checks
// the same; this runs wherever the tests run.
package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// arrows says what each room may import of the others, beside internal/clock. Rooms not named here are doors or suites,
// which may import all.
var arrows = map[string][]string{
	"internal/oci":               {},
	"internal/clock":             {},
	"internal/store":             {},
	"internal/store/memstore":    {"internal/store"},
	"internal/store/diskstore":   {"internal/store"},
	"internal/store/dynamostore": {"internal/store"},
	"internal/store/faultstore":  {"internal/store"},
	"internal/store/s3store":     {"internal/store"},
	"internal/store/storetest":   {"internal/store"},
	"internal/refcount":          {"internal/oci", "internal/store"},
	"internal/upload":            {"internal/oci", "internal/refcount", "internal/store"},
	"internal/registry":          {"internal/oci", "internal/upload", "internal/refcount", "internal/store"},
	"internal/auth":              {"internal/oci", "internal/refcount"},
	"internal/direct":            {"internal/oci"},
	"internal/doctor":            {"internal/direct", "internal/oci"},
	"internal/ocihttp":           {"internal/oci", "internal/auth"},
}

// outside says which modules a room may import beside the standard library. A room that is not named here, and is not a
// door or a suite, may import none.
var outside = map[string][]string{
	"internal/oci":             {"github.com/opencontainers/go-digest"},
	"internal/refcount":        {"github.com/opencontainers/go-digest"},
	"internal/upload":          {"github.com/opencontainers/go-digest"},
	"internal/registry":        {"github.com/opencontainers/go-digest"},
	"internal/store/memstore":  {"github.com/tidwall/btree"},
	"internal/store/diskstore": {"github.com/tidwall/btree", "go.etcd.io/bbolt", "go.etcd.io/bbolt/errors", "golang.org/x/sys/unix"},
	"internal/store/dynamostore": {"github.com/aws/aws-sdk-go-v2/aws", "github.com/aws/aws-sdk-go-v2/service/dynamodb",
		"github.com/aws/aws-sdk-go-v2/service/dynamodb/types", "github.com/aws/smithy-go", "github.com/aws/smithy-go/transport/http"},
	"internal/store/s3store": {"github.com/aws/aws-sdk-go-v2/aws", "github.com/aws/aws-sdk-go-v2/aws/ratelimit", "github.com/aws/aws-sdk-go-v2/aws/retry",
		"github.com/aws/aws-sdk-go-v2/aws/signer/v4", "github.com/aws/aws-sdk-go-v2/service/s3", "github.com/aws/aws-sdk-go-v2/service/s3/types", "github.com/aws/smithy-go",
		"github.com/aws/smithy-go/middleware", "github.com/aws/smithy-go/transport/http"},
	"internal/auth":    {"golang.org/x/crypto/bcrypt", "golang.org/x/sync/singleflight"},
	"internal/ocihttp": {},
	"internal/direct":  {"github.com/opencontainers/go-digest"},
}

// forbidden are calls that only the named rooms may make. A process of a function is frozen between two calls, and Go's monotonic
// clock with it: all readings are of a clock.Clock, which has none.
var forbidden = []struct {
	pkg   string
	names []string
	only  []string
	why   string
}{
	{"time", []string{"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Sleep"}, []string{"internal/clock"}, "only internal/clock asks what time it is"},
	{"os", []string{"Getenv", "LookupEnv", "Environ"}, []string{"cmd", "functions"}, "only the doors read the environment"},
}

type file struct {
	room string
	path string
	tree *ast.File
	set  *token.FileSet
}

// sources parses the files of the root module's rooms that are not tests.
func sources(t *testing.T) []file {
	t.Helper()
	root := filepath.Join("..", "..")
	var files []file
	for _, top := range []string{"internal", "cmd", "functions"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, e fs.DirEntry, err error) error {
			if os.IsNotExist(err) {
				return nil
			}
			if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			set := token.NewFileSet()
			tree, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution|parser.ParseComments)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, path)
			files = append(files, file{filepath.ToSlash(filepath.Dir(rel)), filepath.ToSlash(rel), tree, set})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(files) < 20 {
		t.Fatalf("found %d files only", len(files))
	}
	return files
}

func TestArrows(t *testing.T) {
	for _, f := range sources(t) {
		allowed, room := arrows[f.room]
		if !room {
			if strings.HasPrefix(f.room, "internal/") {
				t.Errorf("%s: the room %s has no line in the arrows", f.path, f.room)
			}
			continue
		}
		for _, spec := range f.tree.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			if inner, ours := strings.CutPrefix(path, "tare/"); ours {
				if inner != "internal/clock" && !slices.Contains(allowed, inner) {
					t.Errorf("%s imports %s; %s may not", f.path, path, f.room)
				}
				continue
			}
			if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") && !slices.Contains(outside[f.room], path) {
				t.Errorf("%s imports %s; %s may not", f.path, path, f.room)
			}
		}
	}
}

func TestForbiddenCalls(t *testing.T) {
	for _, f := range sources(t) {
		ast.Inspect(f.tree, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := sel.X.(*ast.Ident)
			if !ok {
				return true
			}
			for _, rule := range forbidden {
				if pkg.Name == rule.pkg && slices.Contains(rule.names, sel.Sel.Name) && !slices.ContainsFunc(rule.only, func(room string) bool {
					return strings.HasPrefix(f.room, room)
				}) {
					t.Errorf("%s: %s.%s: %s", f.set.Position(sel.Pos()), pkg.Name, sel.Sel.Name, rule.why)
				}
			}
			return true
		})
	}
}

// TestNoPackageState looks for package variables that can change: maps and pointers that are written after they are
// made are found by review; what a test can find is a variable without a value.
func TestNoPackageState(t *testing.T) {
	for _, f := range sources(t) {
		for _, decl := range f.tree.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				continue
			}
			for _, spec := range gen.Specs {
				v := spec.(*ast.ValueSpec)
				if len(v.Values) == 0 {
					t.Errorf("%s: package variable %s has no value: it is state", f.set.Position(v.Pos()), v.Names[0].Name)
				}
			}
		}
	}
}

func TestEveryFileSaysItsLicence(t *testing.T) {
	for _, f := range sources(t) {
		if len(f.tree.Comments) == 0 || !strings.HasPrefix(f.tree.Comments[0].List[0].Text, "// SPDX-License-Identifier: Apache-2.0") {
			t.Errorf("%s does not begin with its SPDX line", f.path)
		}
	}
}
