package unionfs

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
)

// childEnv makes the test binary a server: a test that maps files of a mount, or
// kills its server, can't be served by its own process. (A thread that waits for
// a page can't be stopped, so Go's runtime may wait for it, and the answer for
// the runtime.)
const childEnv = "UNIONFS_TEST_CHILD"

// childSpec is what a child is to mount.
type childSpec struct {
	Chain       *cow.Chain // or
	LowerDirs   []string
	Upper, Work string
	Target      string
	AllowOther  bool
	LinkIndex   bool
}

func TestMain(m *testing.M) {
	if s := os.Getenv(servedVar); s != "" {
		if err := serveForBenchmark(s); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if s := os.Getenv(childEnv); s != "" {
		if err := serveChild(s); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func serveChild(s string) error {
	var c childSpec
	if err := json.Unmarshal([]byte(s), &c); err != nil {
		return err
	}
	o := Options{LowerDirs: c.LowerDirs}
	if c.Chain != nil {
		var err error
		if o, err = openBase(*c.Chain); err != nil {
			return err
		}
	}
	o.Upper, o.Work, o.LinkIndex = c.Upper, c.Work, c.LinkIndex
	fs, err := New(o)
	if err != nil {
		return err
	}
	srv, err := Mount(fs, c.Target, MountOptions{AllowOther: c.AllowOther, Suid: true, Dev: true})
	if err != nil {
		return err
	}
	fmt.Println("mounted")
	<-srv.Done()
	return nil
}

// child is a server in a process of its own.
type child struct {
	t   testing.TB
	cmd *exec.Cmd
	mnt string
}

// startChild mounts c at a fresh directory. wrap, if given, is put before the
// command line.
func startChild(t testing.TB, c childSpec, wrap ...string) *child {
	t.Helper()
	needMount(t)
	if c.Target == "" {
		dir, err := os.MkdirTemp("", "unionfs-mnt")
		must(t, err)
		t.Cleanup(func() { os.Remove(dir) })
		c.Target = dir
	}
	spec, err := json.Marshal(c)
	must(t, err)
	argv := append(wrap, os.Args[0])
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), childEnv+"="+string(spec))
	out, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	ch := &child{t, cmd, c.Target}
	t.Cleanup(func() { ch.kill() })
	line, _ := bufio.NewReader(out).ReadString('\n')
	if strings.TrimSpace(line) != "mounted" {
		t.Fatalf("child: %s", line)
	}
	return ch
}

// kill ends the server as kill -9 does, and removes the dead mount.
func (c *child) kill() {
	if c.cmd.ProcessState != nil {
		return
	}
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	_ = unix.Unmount(c.mnt, 0)
}

// unmount ends it in order.
func (c *child) unmount() {
	c.t.Helper()
	must(c.t, unix.Unmount(c.mnt, 0))
	must(c.t, c.cmd.Wait())
}
