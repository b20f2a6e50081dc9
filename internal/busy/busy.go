// Package busy unmounts what tests and benchmarks have mounted. A mount may be in
// use for a moment after the last process that worked in it was waited for (a
// process that another one starts has copies of all descriptors until it executes),
// so it is asked again; the error then says who uses it.
package busy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	patience = 10 * time.Second
	interval = 5 * time.Millisecond
)

// Unmount detaches the mount at dir, never lazily. If it stays in use for ten
// seconds the error is EBUSY and names the processes that use it.
func Unmount(dir string) error {
	err := Retry(func() error { return unix.Unmount(dir, unix.UMOUNT_NOFOLLOW) })
	switch err {
	case nil:
		return nil
	case unix.EBUSY:
		return fmt.Errorf("unmount %s: %w; used by %q", dir, err, users(dir))
	}
	return fmt.Errorf("unmount %s: %w", dir, err)
}

// Retry unmounts by a function, again and again as long as that says EBUSY, for at
// most ten seconds.
func Retry(unmount func() error) error {
	err := unmount()
	for end := time.Now().Add(patience); errors.Is(err, unix.EBUSY) && time.Now().Before(end); {
		time.Sleep(interval)
		err = unmount()
	}
	return err
}

// users are the links and files of /proc that lead below dir, and what is mounted
// there.
func users(dir string) []string {
	var found []string
	for _, pattern := range []string{"cwd", "root", "exe", "fd/*", "task/*/cwd", "task/*/fd/*", "map_files/*"} {
		links, _ := filepath.Glob("/proc/[0-9]*/" + pattern) // the pattern is a constant
		for _, l := range links {
			if to, _ := os.Readlink(l); to == dir || strings.HasPrefix(to, dir+"/") {
				comm, _ := os.ReadFile(filepath.Join("/proc", strings.Split(l, "/")[2], "comm"))
				found = append(found, fmt.Sprintf("%s (%s) is %s", l, strings.TrimSpace(string(comm)), to))
			}
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, " "+dir) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}
