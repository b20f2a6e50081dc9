package imagecmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// stoppedContainer makes a container in which nothing runs.
func stoppedContainer(t *testing.T, cs Containers, name string) *Container {
	t.Helper()
	c, err := cs.Create(Container{Name: name, Image: "none"})
	if err != nil {
		t.Fatal(err)
	}
	c.close()
	return c
}

// Who waits to read what a container has changed until it was removed finds that it has
// gone, not a container without changes.
func TestReadingRemoved(t *testing.T) {
	for name, remove := range map[string]func(rootfs string) error{
		"begun":   func(rootfs string) error { return os.Rename(rootfs, rootfs+".gone") },
		"removed": os.Remove,
		"replaced": func(rootfs string) error {
			return errors.Join(os.Rename(rootfs, rootfs+".gone"), os.Mkdir(rootfs, 0o755))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := stoppedContainer(t, OpenContainers(t.TempDir()), "box")
			remover, err := c.lockReading(unix.LOCK_EX)
			if err != nil {
				t.Fatal(err)
			}
			read := make(chan error)
			go func() {
				f, err := c.lockReading(unix.LOCK_SH)
				if err == nil {
					f.Close()
				}
				read <- err
			}()
			waitForBlocked(t, remover)
			if err := remove(c.path(containerRootfs)); err != nil {
				t.Fatal(err)
			}
			remover.Close()
			if err := <-read; !errors.Is(err, os.ErrNotExist) {
				t.Errorf("it was read: %v", err)
			}
		})
	}
}

// waitForBlocked waits until somebody waits for the lock of f.
func waitForBlocked(t *testing.T, f *os.File) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	inode := []byte(":" + strconv.FormatUint(st.Ino, 10) + " ")
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		locks, err := os.ReadFile("/proc/locks")
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(locks) {
			if bytes.Contains(line, []byte("-> FLOCK")) && bytes.Contains(line, inode) {
				return
			}
		}
	}
	t.Fatal("nobody waits for the lock")
}

// stuckDriver can't remove anything.
type stuckDriver struct{ cow.Driver }

var errStuck = errors.New("stuck")

func (stuckDriver) Remove(context.Context, cow.Snapshot) error { return errStuck }

// A container whose removal ended in the middle is there for nothing but its removal: a part
// of what it had may have gone.
func TestHalfRemoved(t *testing.T) {
	ctx, root := context.Background(), t.TempDir()
	cs := OpenContainers(root)
	c := stoppedContainer(t, cs, "box")
	if err := c.takeGoing(unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := c.remove(ctx, []cow.Driver{stuckDriver{}}); !errors.Is(err, errStuck) {
		t.Fatalf("remove: %v", err)
	}
	if now := c.objectState(State{}); now.Status != "removing" || now.Running {
		t.Errorf("while it is removed its state is %+v", now)
	}
	if got := c.describe(State{}, false, time.Now()); got != "Removal In Progress" {
		t.Errorf("while it is removed it is %q", got)
	}
	c.close()
	if _, err := cs.Find("box"); !errors.Is(err, ErrNoContainer) {
		t.Errorf("Find: %v", err)
	}
	if err := c.hold(); !errors.Is(err, ErrNoContainer) {
		t.Errorf("hold: %v", err)
	}
	// Its name is free, and means the new one.
	again := stoppedContainer(t, cs, "box")
	for i, want := range []error{nil, nil, ErrNoContainer} {
		if err := Rm(ctx, root, "box", RmOptions{}, slog.New(slog.DiscardHandler)); !errors.Is(err, want) {
			t.Fatalf("rm %d: %v", i+1, err)
		}
		var there []string
		for _, c := range []*Container{c, again} {
			if _, err := os.Lstat(c.dir); err == nil {
				there = append(there, c.ID)
			}
		}
		if want := [][]string{{c.ID}, nil, nil}[i]; fmt.Sprint(there) != fmt.Sprint(want) {
			t.Fatalf("after rm %d there are %v, want %v", i+1, there, want)
		}
	}
}

// A sweep finishes what was begun.
func TestSweepHalfRemoved(t *testing.T) {
	ctx, cs := context.Background(), OpenContainers(t.TempDir())
	c, kept := stoppedContainer(t, cs, "box"), stoppedContainer(t, cs, "kept")
	if err := c.takeGoing(unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := c.remove(ctx, []cow.Driver{stuckDriver{}}); !errors.Is(err, errStuck) {
		t.Fatalf("remove: %v", err)
	}
	c.close()
	if err := cs.sweep(ctx, nil); err != nil {
		t.Fatal(err)
	}
	all, err := cs.withLeft()
	if err != nil || len(all) != 1 || all[0].ID != kept.ID {
		t.Errorf("after the sweep there are %v (%v)", all, err)
	}
}
