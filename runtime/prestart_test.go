package runtime_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/deathsig"
	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/stage"
)

func TestPrestart(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		for _, init := range []bool{false, true} {
			j := sh(t, "id -u; exit 12")
			j.Early, j.Init = true, init
			if r := j.run(t); r != (result{12, "0\n", ""}) {
				t.Errorf("init=%v: %+v", init, r)
			}
			j.Spec.Process.Args = []string{"nonesuch"}
			if r := j.run(t); r.status != 127 {
				t.Errorf("init=%v: %+v", init, r)
			}
		}
	})
}

// A prestarted process that is never used ends by Kill, or with who started it.
func TestPrestartUnused(t *testing.T) {
	testenv.AsUser(t, testenv.Root, func(t *testing.T, who testenv.User) {
		j := sh(t, "true")
		i, err := runtime.Prestart(j.Spec, stage.Stdio{})
		if err != nil {
			t.Fatal(err)
		}
		pid := i.Pid()
		i.Kill()
		i.Kill()
		if err := unix.Kill(pid, 0); err != unix.ESRCH {
			t.Errorf("after Kill: %v", err)
		}
	})
}

// The context's end is the container's.
func TestCancel(t *testing.T) {
	testenv.AsUser(t, testenv.Root, func(t *testing.T, who testenv.User) {
		for _, init := range []bool{false, true} {
			j := sh(t, "trap '' TERM; while :; do sleep 1000; done")
			ctx, cancel := context.WithCancelCause(t.Context())
			why := errors.New("because")
			var pid int
			status, err := runtime.Run(ctx, runtime.Bundle{Root: j.Root, Spec: j.Spec}, runtime.Options{
				Init:    init,
				Started: func(p int) { pid = p; cancel(why) },
			})
			if status != 125 || !errors.Is(err, why) || pid == 0 || unix.Kill(pid, 0) != unix.ESRCH {
				t.Errorf("status %d, %v, pid %d", status, err, pid)
			}
		}
	})
}

// Run leaves no descriptor behind, however it ends.
func TestNoDescriptorLeft(t *testing.T) {
	testenv.AsUser(t, testenv.Root, func(t *testing.T, who testenv.User) {
		count := func() int {
			fds, err := filepath.Glob("/proc/self/fd/*")
			if err != nil {
				t.Fatal(err)
			}
			return len(fds)
		}
		try := func(change func(*job)) {
			j := sh(t, "true")
			change(j)
			runtime.Run(t.Context(), runtime.Bundle{Root: j.Root, Spec: j.Spec}, runtime.Options{})
		}
		try(func(*job) {}) // what the Go runtime opens once
		before := count()
		for range 3 {
			try(func(*job) {})
			try(func(j *job) { j.Spec.Process.Args[0] = "nonesuch" })
			try(func(j *job) { j.Spec.Process.Terminal = true })
			try(func(j *job) { j.Root += "/none" })
			try(func(j *job) { j.Spec.Mounts[0].Type = "none" })
			try(func(j *job) {
				j.Spec.Mounts = append(j.Spec.Mounts, specs.Mount{Destination: "/mnt", Source: "/tmp", Options: []string{"bind"}},
					specs.Mount{Destination: "/mnt", Source: "/none", Options: []string{"bind"}})
			})
		}
		if after := count(); after != before {

			t.Errorf("%d descriptors before, %d after", before, after)
		}
	})
}

// A container may join the network namespace of another.
func TestJoinNetwork(t *testing.T) {
	testenv.AsUser(t, testenv.Root, func(t *testing.T, who testenv.User) {
		other := exec.Command("sleep", "1000")
		other.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
		if err := deathsig.Start(other); err != nil {
			t.Fatal(err)
		}
		defer other.Wait()
		defer other.Process.Kill()
		path := "/proc/" + strconv.Itoa(other.Process.Pid) + "/ns/net"
		want, err := os.Readlink(path)
		if err != nil {
			t.Fatal(err)
		}
		j := sh(t, "readlink /proc/self/ns/net")
		for i := range j.Spec.Linux.Namespaces {
			if n := &j.Spec.Linux.Namespaces[i]; n.Type == specs.NetworkNamespace {
				n.Path = path
			}
		}
		if got := j.ok(t); got != want+"\n" {
			t.Errorf("got %q, want %s", got, want)
		}
		for i := range j.Spec.Linux.Namespaces {
			if n := &j.Spec.Linux.Namespaces[i]; n.Type == specs.NetworkNamespace {
				n.Path = "/proc/self/ns/uts"
			}
		}
		if r := j.run(t); r.status != 125 || !strings.Contains(r.err, "join namespace /proc/self/ns/uts") {
			t.Errorf("another kind of namespace: %+v", r)
		}
	})
}
