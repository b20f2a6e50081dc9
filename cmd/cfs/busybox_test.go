package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cfs-project/cfs/internal/debianroot"
)

// busyboxTar writes a small root filesystem as a tar: a static busybox under
// all its names, a few users, and a file that only root and shadow may read.
func busyboxTar(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: busyboxtar FILE [PROGRAM...]")
	}
	tar, err := busyboxRoot(args[1:]...)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), tar, 0o644))
}

// debianTar copies a tar of Debian's minimal root; see the condition [debian].
func debianTar(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: debiantar FILE")
	}
	tar, err := debianroot.Tar(context.Background())
	ts.Check(err)
	ts.Check(ts.Exec("cp", tar, ts.MkAbs(args[0])))
	ts.Check(os.Chmod(ts.MkAbs(args[0]), 0o644))
}

// busyboxRoot is that tar, with programs of this machine and the libraries they need.
func busyboxRoot(programs ...string) ([]byte, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return nil, errors.New("busybox is not installed (package busybox-static)")
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	names, err := exec.Command(path, "--list").Output()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	var failed error
	add := func(h tar.Header, content string) {
		h.ModTime = time.Unix(1_700_000_000, 0)
		h.Size = int64(len(content))
		err := w.WriteHeader(&h)
		if err == nil {
			_, err = w.Write([]byte(content))
		}
		failed = errors.Join(failed, err)
	}
	for _, dir := range []string{"bin/", "etc/", "proc/", "sys/", "dev/", "root/", "tmp/"} {
		add(tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755}, "")
	}
	add(tar.Header{Name: "bin/busybox", Typeflag: tar.TypeReg, Mode: 0o755}, string(program))
	for _, name := range strings.Fields(string(names)) {
		if name != "busybox" {
			add(tar.Header{Name: "bin/" + name, Typeflag: tar.TypeLink, Linkname: "bin/busybox", Mode: 0o755}, "")
		}
	}
	add(tar.Header{Name: "etc/passwd", Typeflag: tar.TypeReg, Mode: 0o644}, "root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000::/home/guest:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
	add(tar.Header{Name: "etc/group", Typeflag: tar.TypeReg, Mode: 0o644}, "root:x:0:\nguest:x:1000:\nshadow:x:42:\n")
	add(tar.Header{Name: "etc/shadow", Typeflag: tar.TypeReg, Mode: 0o640, Gid: 42}, "root:secret:::::::\n")
	for _, name := range programs {
		files, err := withLibraries(name)
		if err != nil {
			return nil, err
		}
		for _, path := range files {
			content, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			add(tar.Header{Name: path[1:], Typeflag: tar.TypeReg, Mode: 0o755}, string(content))
		}
	}
	err = errors.Join(failed, w.Close())
	return out.Bytes(), err
}

// withLibraries are the paths of a program of this machine and the libraries it needs.
func withLibraries(program string) ([]string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, err
	}
	out, err := exec.Command("ldd", path).Output()
	if err != nil { // it is static
		return []string{path}, nil
	}
	return append([]string{path}, regexp.MustCompile(`/\S+`).FindAllString(string(out), -1)...), nil
}
