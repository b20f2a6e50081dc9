package importorder

import (
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// Imports reads which packages of module import which others of it, from all
// Go files below root, the module's directory. Hidden directories, testdata, vendor
// and nested modules are left out, as the go command leaves them out.
func Imports(root, module string) ([]Import, error) {
	var out []Import
	var visit func(rel string) error
	visit = func(rel string) error {
		entries, err := os.ReadDir(filepath.Join(root, rel))
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := e.Name()
			if e.IsDir() {
				if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "vendor" {
					continue
				}
				if _, err := os.Stat(filepath.Join(root, rel, name, "go.mod")); err == nil {
					continue
				}
				if err := visit(path.Join(rel, name)); err != nil {
					return err
				}
				continue
			}
			if !strings.HasSuffix(name, ".go") || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
				continue
			}
			list, err := fileImports(filepath.Join(root, rel, name), module)
			if err != nil {
				return err
			}
			for _, to := range list {
				out = append(out, Import{From: rel, To: to, Test: strings.HasSuffix(name, "_test.go")})
			}
		}
		return nil
	}
	if err := visit("."); err != nil {
		return nil, fmt.Errorf("read the imports of %s: %w", module, err)
	}
	return out, nil
}

// fileImports lists what a file imports of module, by path in it.
func fileImports(name, module string) ([]string, error) {
	src, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, i := range f.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: import %s: %w", name, i.Path.Value, err)
		}
		if p == module {
			out = append(out, ".")
		} else if rel, ok := strings.CutPrefix(p, module+"/"); ok {
			out = append(out, rel)
		}
	}
	return out, nil
}

// Module finds the module that dir is in: its directory, and its path from
// go.mod.
func Module(dir string) (root, module string, err error) {
	for {
		data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil {
			for line := range strings.Lines(string(data)) {
				if p, ok := strings.CutPrefix(line, "module "); ok {
					return dir, strings.TrimSpace(p), nil
				}
			}
			return "", "", fmt.Errorf("%s/go.mod names no module", dir)
		}
		if dir == filepath.Dir(dir) {
			return "", "", fmt.Errorf("no go.mod: %w", err)
		}
		dir = filepath.Dir(dir)
	}
}
