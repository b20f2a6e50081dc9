package cowtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cfs-project/cfs/cow"
)

func mountOptions(suid, dev bool) cow.MountOptions { return cow.MountOptions{Suid: suid, Dev: dev} }

// mountLines are the lines of mountinfo whose mount point is below dir.
func mountLines(t testing.TB, dir string) []string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) > 4 && below(f[4], dir) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// mountSource is what mountinfo shows as the source of the mount at dir
// (proc_pid_mountinfo(5): the second field after the dash).
func mountSource(t testing.TB, dir string) string {
	t.Helper()
	for _, line := range mountLines(t, dir) {
		if _, after, ok := strings.Cut(line, " - "); ok {
			if f := strings.Fields(after); len(f) > 1 {
				return f[1]
			}
		}
	}
	return ""
}

// descriptors are what this process has open below any of dirs.
func descriptors(t testing.TB, dirs ...string) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range links {
		target, err := os.Readlink(l)
		if err != nil {
			continue // the one that Glob read with
		}
		for _, dir := range dirs {
			if dir != "" && below(target, dir) {
				out = append(out, target)
			}
		}
	}
	return out
}

// below tells whether path is dir or leads into it.
func below(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
