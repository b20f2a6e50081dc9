package bench

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// How much the applications have to do, whatever the sizes: their own start is a part
// of it.
const (
	repositoryFiles = 800
	sourceFiles     = 12
	packageFiles    = 300
)

// packageName is that of what dpkg installs.
const packageName = "cfs-bench"

// application makes the lower of one of the fixtures that programs work in.
func (f *Fixtures) application(name, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	switch name {
	case FixtureGit:
		return f.repository(dir)
	case FixtureSource:
		return f.source(dir)
	}
	return f.packages(dir)
}

func (f *Fixtures) repository(dir string) error {
	w := &fixtureWriter{rnd: rand.New(rand.NewPCG(5, 6))}
	for i := range repositoryFiles {
		w.file(filepath.Join(dir, fmt.Sprintf("d%02d/file%04d", i/25, i)), int64(w.rnd.IntN(8<<10)))
	}
	if w.err != nil {
		return w.err
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"commit", "-q", "-m", "all"}} {
		if err := execute(gitCommand(dir, args...)); err != nil {
			return err
		}
	}
	return nil
}

// gitCommand is git in a directory, whoever owns it, with no settings but its own.
func gitCommand(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "safe.directory=*", "-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "LC_ALL=C")
	return cmd
}

// source writes a program whose every file is some work for a compiler.
func (f *Fixtures) source(dir string) error {
	for i := range sourceFiles {
		var b strings.Builder
		b.WriteString("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include \"all.h\"\n")
		for j := range 60 {
			fmt.Fprintf(&b, "int f%d_%d(int n, const char *s) { int sum = 0; for (int i = 0; i < n; i++) sum += (s[i %% 7] * %d) ^ i; return sum; }\n", i, j, j+3)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file%02d.c", i)), []byte(b.String()), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "all.h"), []byte("#define ALL 1\n"), 0o644)
}

// packages makes a root that dpkg takes for one, and a package beside it.
func (f *Fixtures) packages(dir string) error {
	for _, d := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	for _, n := range []string{"status", "available"} {
		if err := os.WriteFile(filepath.Join(dir, "var/lib/dpkg", n), nil, 0o644); err != nil {
			return err
		}
	}
	tree := filepath.Join(f.dir, "package")
	w := &fixtureWriter{rnd: rand.New(rand.NewPCG(7, 8))}
	for i := range packageFiles {
		w.file(filepath.Join(tree, fmt.Sprintf("usr/share/%s/d%02d/file%03d", packageName, i/20, i)), int64(w.rnd.IntN(12<<10)))
	}
	if w.err != nil {
		return w.err
	}
	if err := os.MkdirAll(filepath.Join(tree, "DEBIAN"), 0o755); err != nil {
		return err
	}
	control := "Package: " + packageName + "\nVersion: 1\nArchitecture: all\nMaintainer: bench <bench@localhost>\nDescription: files\n"
	if err := os.WriteFile(filepath.Join(tree, "DEBIAN/control"), []byte(control), 0o644); err != nil {
		return err
	}
	cmd := exec.Command("dpkg-deb", "--build", "-Znone", "--root-owner-group", tree, f.Package())
	cmd.Env = append(os.Environ(), "TMPDIR="+f.dir) // not every user may write to /tmp everywhere
	return execute(cmd)
}

// Package is the path of the package that dpkg installs on [FixturePackages].
func (f *Fixtures) Package() string { return filepath.Join(f.dir, packageName+".deb") }

// execute runs a program, whose error has what it said.
func execute(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, strings.TrimSpace(string(out)))
	}
	return nil
}
