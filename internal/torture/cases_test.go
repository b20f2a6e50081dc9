package torture

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestUnlinkedLower: a lower file that is open loses its only name; whoever asks
// the server and not the kernel's cache is told that it has none. A read makes the
// access time be asked for.
func TestUnlinkedLower(t *testing.T) {
	needMount(t)
	for _, transport := range []string{"loop", "gofuse"} {
		for _, kind := range []string{"dirs", "packed"} {
			t.Run(transport+"-"+kind, func(t *testing.T) {
				u := &union{t: t, dir: ground(t, "tmpfs", 0)}
				u.plain = u.dir + "/plain"
				low := u.dir + "/layer0"
				mkdirs(t, low, u.plain)
				b := &builder{t: t, r: rand.New(rand.NewPCG(1, 1)), plain: u.plain, layer: low}
				b.do("f", func(p string) error { return os.WriteFile(p, []byte("below"), 0o644) })
				u.lowers(kind, []string{low})
				u.spec.Transport = transport
				srv := start(t, u.spec)
				f, err := os.Open(srv.mnt + "/f")
				must(t, err)
				must(t, os.Remove(srv.mnt+"/f"))
				_, err = f.Read(make([]byte, 8))
				must(t, err)
				var st unix.Stat_t
				must(t, unix.Fstat(int(f.Fd()), &st))
				must(t, f.Close())
				if st.Nlink != 0 {
					t.Errorf("nlink %d", st.Nlink)
				}
				srv.unmount()
				u.untouched()
			})
		}
	}
}

// execVar makes the test binary a process that executes another program, which
// closes a file: its value is the file and how many requests are made before.
const execVar = "CFS_TORTURE_EXEC"

func execClosing(arg string) error {
	var file string
	var before int
	if _, err := fmt.Sscan(arg, &file, &before); err != nil {
		return err
	}
	if _, err := unix.Open(file, unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	for i := range before {
		if err := unix.Access(fmt.Sprintf("%s-%d", file, i), unix.F_OK); err != unix.ENOENT {
			return fmt.Errorf("access: %v", err)
		}
	}
	return syscall.Exec("/bin/true", []string{"true"}, nil)
}

// TestExecCloses: execve(2) closes files with a lock of the process held that
// whoever looks at its state in /proc waits for. The server, which looks where its
// clients run, must not be among them while it is asked for FLUSH, as it is for the
// first file of a mount that is closed.
func TestExecCloses(t *testing.T) {
	needMount(t)
	t.Parallel()
	u := &union{t: t, dir: ground(t, "tmpfs", 0)}
	u.plain = u.dir + "/plain"
	low := u.dir + "/layer0"
	mkdirs(t, low, u.plain)
	must(t, os.WriteFile(low+"/f", []byte("data"), 0o644))
	u.lowers("dirs", []string{low})
	for before := range 20 {
		srv := start(t, u.spec)
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s/f %d", execVar, srv.mnt, before))
		done := make(chan error, 1)
		go func() {
			out, err := cmd.CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
			done <- err
		}()
		select {
		case err := <-done:
			must(t, err)
		case <-time.After(60 * time.Second):
			t.Fatal("execve has not returned")
		}
		srv.unmount()
	}
	u.untouched()
}
