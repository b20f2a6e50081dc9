package importorder

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestImportOrder(t *testing.T) {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	root, module, err := Module(dir)
	if err != nil {
		t.Fatal(err)
	}
	imports, err := Imports(root, module)
	if err != nil {
		t.Fatal(err)
	}
	if len(imports) == 0 {
		t.Fatal("no imports found: this test checks nothing")
	}
	for _, v := range Check(imports) {
		t.Error(v)
	}
}

func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		from, to string
		test     bool
		ok       bool
	}{
		{"cow", "whiteout", false, true},
		{"whiteout", "cow", false, false},
		{"whiteout", "cow", true, false},
		{"cow", "layerpack", false, false},
		{"cow", "cow/cowtest", false, false},
		{"cow/cowtest", "cow", false, true},
		{"cow/cowtest", "layerpack", true, false},
		{"layerpack", "cow", false, true},
		{"layerpack", "unionfs", true, false},
		{"unionfs", "layerpack", false, true},
		{"unionfs", "unionfs/transport", false, true},
		{"unionfs/transport", "unionfs", true, true},
		{"unionfs", "cow/cowtest", true, true},
		{"unionfs", "cow/cowtest", false, false},
		{"unionfs", "kernel-drivers/overlay2", false, false},
		{"unionfs", "imagecmd/store", false, false},
		{"kernel-drivers", "kernel-drivers/overlay2", false, true},
		{"kernel-drivers/overlay2", "kernel-drivers", false, false},
		{"kernel-drivers/btrfs", "kernel-drivers/overlay2", false, false},
		{"kernel-drivers/btrfs", "kernel-drivers/internal/tree", false, true},
		{"kernel-drivers/internal/tree", "kernel-drivers/overlay2", false, false},
		{"unionfs", "kernel-drivers/internal/tree", false, false},
		{"kernel-drivers/overlay2", "layerpack", false, true},
		{"kernel-drivers/overlay2", "unionfs", false, false},
		{"imagecmd/store", "layerpack", false, true},
		{"imagecmd/remote", "imagecmd/store", false, true},
		{"imagecmd/store", "imagecmd", false, false},
		{"imagecmd/store", "runtime", false, false},
		{"imagecmd/build", "runtime", false, true},
		{"imagecmd", "runtime/userns", false, true},
		{"imagecmd", "imagecmd/store", false, true},
		{"imagecmd", "cmd/cfs", false, false},
		{"runtime", "runtime/userns", false, true},
		{"runtime/network", "internal/hint", false, true},
		{"runtime/network", "imagecmd", false, false},
		{"runtime/userns", "internal/fd", false, true},
		{"runtime", "layerpack", false, false},
		{"runtime", "cow", true, false},
		{"cmd/cfs", "imagecmd", false, true},
		{"cmd/cfs", "runtime", false, true},
		{"cmd/cfs", "bench", false, true},
		{"cmd/cfs", "bench/contest", false, true},
		{"bench", "cmd/cfs", false, false},
		{"imagecmd", "bench/report", false, false},
		{"bench/cmd/bench-packed", "unionfs", false, true},
		{"bench/cmd/bench-packed", "bench", false, true},
		{"bench", "cow/cowtest", false, true},
		{"internal/fd", "internal/lock", false, true},
		{"internal/fd", "cow", false, false},
		{"internal/fd", "cow/cowtest", true, true},
		{"internal/exact", "unionfs", true, true},
		{"internal/exact", "bench", true, false},
		{"imagecmd/store", "imagecmd/internal/parallel", false, true},
		{"imagecmd/internal/parallel", "imagecmd", false, false},
		{"stray", "cow", false, false},
		{"cow", "stray", false, false},
		{"cmd/cfs", ".", false, false},
	} {
		got := Check([]Import{{tc.from, tc.to, tc.test}})
		if (len(got) == 0) != tc.ok {
			t.Errorf("%s imports %s (test: %t): %q, want allowed: %t", tc.from, tc.to, tc.test, got, tc.ok)
		}
	}
}

// A violation in real source, in a file that the go command would not even
// build here, is found and named.
func TestFabricatedViolation(t *testing.T) {
	root := t.TempDir()
	for name, src := range map[string]string{
		"go.mod":                      "module example.org/x\n\ngo 1.26\n",
		"whiteout/w.go":               "package whiteout\n",
		"cow/c.go":                    "package cow\n\nimport (\n\t_ \"fmt\"\n\t_ \"example.org/x/whiteout\"\n)\n",
		"whiteout/up_windows.go":      "package whiteout\n\nimport up \"example.org/x/cow\"\n",
		"cow/testdata/ignored/i.go":   "package ignored\n\nimport _ \"example.org/x/bench\"\n",
		"layerpack/l_test.go":         "package layerpack_test\n\nimport _ \"example.org/x/unionfs\"\n",
		"nested/go.mod":               "module example.org/nested\n",
		"nested/n.go":                 "package nested\n\nimport _ \"example.org/x/bench\"\n",
		".hidden/h.go":                "package h\n\nimport _ \"example.org/x/bench\"\n",
		"whiteout/deep/er/package.go": "package er\n",
	} {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, module, err := Module(filepath.Join(root, "whiteout", "deep", "er"))
	if err != nil || found != root || module != "example.org/x" {
		t.Fatalf("Module = %s, %s, %v", found, module, err)
	}
	imports, err := Imports(root, module)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"layerpack must not import unionfs: it knows layers as bytes, and nobody who mounts them (in a test)",
		"whiteout must not import cow: it is pure vocabulary and knows no other room",
	}
	if diff := cmp.Diff(want, Check(imports)); diff != "" {
		t.Error(diff)
	}
}
