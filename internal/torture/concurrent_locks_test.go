package torture

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// Locks: counters in lower files that go up by one under a lock of each kind.

var lockKinds = []string{"flock", "ofd", "posix", "excl"}

const increments = 25

func locksFill(b *builder) {
	for _, k := range lockKinds {
		b.do(k, func(p string) error { return os.WriteFile(p, []byte("0000000"), 0o666) })
	}
}

func locksJob(dir string, id int) ([]string, error) {
	for _, kind := range lockKinds {
		if kind == "posix" && id%goroutines > 0 {
			continue // such a lock belongs to the process
		}
		f, err := os.OpenFile(dir+"/"+kind, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		for range increments {
			if err := locked(kind, f, func() error {
				b := make([]byte, 7)
				if _, err := f.ReadAt(b, 0); err != nil {
					return err
				}
				n, err := strconv.Atoi(string(b))
				if err != nil {
					return err
				}
				_, err = f.WriteAt(fmt.Appendf(nil, "%07d", n+1), 0)
				return err
			}); err != nil {
				return nil, fmt.Errorf("%s: %w", kind, err)
			}
		}
	}
	return nil, nil
}

func locked(kind string, f *os.File, fn func() error) error {
	fcntl := func(cmd int, typ int16) error {
		for {
			err := unix.FcntlFlock(f.Fd(), cmd, &unix.Flock_t{Type: typ, Whence: 0})
			if err != unix.EINTR {
				return err
			}
		}
	}
	var lock, unlock func() error
	switch kind {
	case "flock":
		lock = func() error {
			for {
				if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != unix.EINTR {
					return err
				}
			}
		}
		unlock = func() error { return unix.Flock(int(f.Fd()), unix.LOCK_UN) }
	case "ofd":
		lock = func() error { return fcntl(unix.F_OFD_SETLKW, unix.F_WRLCK) }
		unlock = func() error { return fcntl(unix.F_OFD_SETLK, unix.F_UNLCK) }
	case "posix":
		lock = func() error { return fcntl(unix.F_SETLKW, unix.F_WRLCK) }
		unlock = func() error { return fcntl(unix.F_SETLK, unix.F_UNLCK) }
	case "excl": // a lock file, as programs have that trust neither
		name := f.Name() + ".lock"
		lock = func() error {
			for {
				l, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL, 0o600)
				if os.IsExist(err) {
					continue
				}
				if err != nil {
					return err
				}
				return l.Close()
			}
		}
		unlock = func() error { return os.Remove(name) }
	}
	if err := lock(); err != nil {
		return err
	}
	if err := fn(); err != nil {
		return err
	}
	return unlock()
}

func locksCheck(t *testing.T, root string, _ []string) {
	for _, kind := range lockKinds {
		want := increments * workers
		if kind == "posix" {
			want = increments * processes
		}
		b, err := os.ReadFile(root + "/" + kind)
		must(t, err)
		if string(b) != fmt.Sprintf("%07d", want) {
			t.Errorf("%s: %s, want %d", kind, b, want)
		}
	}
	if names := list(t, root); len(names) != len(lockKinds) {
		t.Errorf("left: %q", names)
	}
}

// list is a directory's names, sorted.
func list(t testing.TB, dir string) []string {
	t.Helper()
	es, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range es {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names
}
