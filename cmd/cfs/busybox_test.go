package main

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// busyboxTar writes a small root filesystem as a tar: a static busybox under
// all its names, a few users, and a file that only root and shadow may read.
func busyboxTar(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: busyboxtar FILE [PROGRAM...]")
	}
	path, err := exec.LookPath("busybox")
	if err != nil {
		ts.Fatalf("busybox is not installed (package busybox-static)")
	}
	program, err := os.ReadFile(path)
	ts.Check(err)
	names, err := exec.Command(path, "--list").Output()
	ts.Check(err)

	var out bytes.Buffer
	w := tar.NewWriter(&out)
	add := func(h tar.Header, content string) {
		h.ModTime = time.Unix(1_700_000_000, 0)
		h.Size = int64(len(content))
		ts.Check(w.WriteHeader(&h))
		_, err := w.Write([]byte(content))
		ts.Check(err)
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
	add(tar.Header{Name: "etc/passwd", Typeflag: tar.TypeReg, Mode: 0o644}, "root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000::/home/guest:/bin/sh\n")
	add(tar.Header{Name: "etc/group", Typeflag: tar.TypeReg, Mode: 0o644}, "root:x:0:\nguest:x:1000:\nshadow:x:42:\n")
	add(tar.Header{Name: "etc/shadow", Typeflag: tar.TypeReg, Mode: 0o640, Gid: 42}, "root:secret:::::::\n")
	for _, name := range args[1:] {
		for _, path := range withLibraries(ts, name) {
			content, err := os.ReadFile(path)
			ts.Check(err)
			add(tar.Header{Name: path[1:], Typeflag: tar.TypeReg, Mode: 0o755}, string(content))
		}
	}
	ts.Check(w.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), out.Bytes(), 0o644))
}

// withLibraries are the paths of a program of this machine and the libraries it needs.
func withLibraries(ts *testscript.TestScript, program string) []string {
	path, err := exec.LookPath(program)
	ts.Check(err)
	out, err := exec.Command("ldd", path).Output()
	if err != nil { // it is static
		return []string{path}
	}
	return append([]string{path}, regexp.MustCompile(`/\S+`).FindAllString(string(out), -1)...)
}
