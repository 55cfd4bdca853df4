// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"tare/internal/store/faultstore"
)

// silent are the operations that make no store call.
var silent = map[string]bool{
	"tare/internal/refcount.(*Ledger).InlineLimit":   true,
	"tare/internal/refcount.(*Ledger).Keyring":       true,
	"tare/internal/refcount.(*Ledger).Margins":       true,
	"tare/internal/refcount.(*Ledger).NewObject":     true,
	"tare/internal/upload.(*Uploads).TakesDirect":    true,
	"tare/internal/registry.(*Registry).TakesDirect": true,
}

// TestEveryOperationHasAScenario looks, at each store call of each scenario, who is at work. In the end every operation of
// the registry, of uploads and of the ledger must have been.
func TestEveryOperationHasAScenario(t *testing.T) {
	atWork := map[string]bool{}
	for _, sc := range scenarios() {
		p := sc.ready(t).boot(func(faultstore.Call) faultstore.Action {
			stack := make([]uintptr, 100)
			frames := runtime.CallersFrames(stack[:runtime.Callers(1, stack)])
			for more := true; more; {
				var f runtime.Frame
				f, more = frames.Next()
				atWork[f.Function] = true
			}
			return faultstore.Pass
		})
		if err := sc.op(context.Background(), p); err != nil {
			t.Fatal(sc.name, err)
		}
	}
	for _, of := range []struct{ room, door string }{{"registry", "Registry"}, {"upload", "Uploads"}, {"refcount", "Ledger"}} {
		names := operations(t, of.room, of.door)
		if len(names) == 0 {
			t.Errorf("%s has no operations", of.door)
		}
		for _, name := range names {
			if atWork[name] == silent[name] {
				t.Errorf("%s: at work in a scenario %v, silent %v", name, atWork[name], silent[name])
			}
		}
	}
}

// operations are the exported methods of a room's door, by the names that a stack gives them.
func operations(t *testing.T, room, door string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("..", "..", "internal", room, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range tree.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv == nil || !f.Name.IsExported() {
				continue
			}
			if ptr, ok := f.Recv.List[0].Type.(*ast.StarExpr); ok && ptr.X.(*ast.Ident).Name == door {
				names = append(names, "tare/internal/"+room+".(*"+door+")."+f.Name.Name)
			}
		}
	}
	return names
}
