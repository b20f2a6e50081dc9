package torture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/internal/busy"
	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/layerpack"
	"github.com/cfs-project/cfs/unionfs"
)

// serverVar makes the test binary a union's server; its value is the spec.
const serverVar = "CFS_TORTURE_SERVER"

func TestMain(m *testing.M) {
	if s := os.Getenv(serverVar); s != "" {
		if err := serve(s); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if s := os.Getenv(jobVar); s != "" {
		if err := work(s); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if s := os.Getenv(execVar); s != "" {
		fmt.Println("error:", execClosing(s))
		os.Exit(1)
	}
	testenv.Isolate()
	os.Exit(m.Run())
}

// spec is a union to mount.
type spec struct {
	Chain       *cow.Chain // or
	Dirs        []string   // topmost first
	Upper, Work string
	Target      string
	Transport   string // loop, gofuse, or passthrough: loop with that option
}

// options opens what the spec names.
func (s spec) options() (unionfs.Options, error) {
	o := unionfs.Options{LowerDirs: s.Dirs}
	if s.Chain != nil {
		var err error
		if o.Index, err = layerpack.OpenIndex(s.Chain.Index); err != nil {
			return o, err
		}
		for _, l := range s.Chain.Layers {
			f, err := os.Open(l.Tar())
			if err != nil {
				return o, err
			}
			o.Tars = append(o.Tars, f)
		}
	}
	o.Upper, o.Work = s.Upper, s.Work
	return o, nil
}

func serve(arg string) error {
	var s spec
	if err := json.Unmarshal([]byte(arg), &s); err != nil {
		return err
	}
	o, err := s.options()
	if err != nil {
		return err
	}
	passthrough := s.Transport == "passthrough"
	if passthrough {
		s.Transport = "loop"
	}
	tr, err := unionfs.TransportByName(s.Transport)
	if err != nil {
		return err
	}
	fs, err := unionfs.New(o)
	if err != nil {
		return err
	}
	srv, err := unionfs.Mount(fs, s.Target, unionfs.MountOptions{AllowOther: true, Suid: true, Dev: true, Transport: tr,
		TransportOptions: unionfs.TransportOptions{Passthrough: passthrough}})
	if err != nil {
		return err
	}
	fmt.Println("mounted")
	go func() { // the end of the file is that of the test
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	<-srv.Done()
	return nil
}

// server is a mounted union and the process that serves it.
type server struct {
	t      testing.TB
	cmd    *exec.Cmd
	mnt    string
	stderr *bytes.Buffer
	gone   bool // neither process nor mount is there
}

// start mounts s, which has a target.
func start(t testing.TB, s spec) *server {
	t.Helper()
	arg, err := json.Marshal(s)
	must(t, err)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), serverVar+"="+string(arg))
	out, err := cmd.StdoutPipe()
	must(t, err)
	_, err = cmd.StdinPipe() // open for as long as this process or the server lives
	must(t, err)
	srv := &server{t: t, cmd: cmd, mnt: s.Target, stderr: new(bytes.Buffer)}
	cmd.Stderr = srv.stderr
	must(t, cmd.Start())
	t.Cleanup(srv.kill)
	line, _ := bufio.NewReader(out).ReadString('\n')
	if strings.TrimSpace(line) != "mounted" {
		srv.kill()
		t.Fatalf("server: %s%s", line, srv.stderr)
	}
	return srv
}

// kill ends the server as kill -9 does, and removes the dead mount.
func (s *server) kill() {
	if s.gone {
		return
	}
	s.gone = true
	s.die()
	if err := busy.Unmount(s.mnt); err != nil && !errors.Is(err, unix.EINVAL) {
		s.t.Errorf("a dead mount: %v", err)
	}
}

// die ends the process and leaves the dead mount.
func (s *server) die() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

// unmount ends it in order.
func (s *server) unmount() {
	s.t.Helper()
	must(s.t, busy.Unmount(s.mnt))
	s.gone = true
	if err := s.cmd.Wait(); err != nil {
		s.t.Fatalf("server: %v\n%s", err, s.stderr)
	}
}

// complete makes the upper directory of a union that is not mounted complete,
// for everybody who does not know the union's marks.
func complete(t testing.TB, s spec) {
	t.Helper()
	o, err := s.options()
	must(t, err)
	fs, err := unionfs.New(o)
	must(t, err)
	err = fs.Complete(context.Background(), true)
	must(t, fs.Close())
	must(t, err)
}

// needMount skips, loudly, where nothing can be mounted.
func needMount(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root to mount and to make device nodes")
	}
	if err := unionfs.NewDriver(nil).Probe(context.Background()); err != nil {
		t.Skipf("SKIPPED: needs FUSE: %v", err)
	}
}

// need skips, loudly, where a program is missing.
func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("SKIPPED: needs the program %s", p)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run executes a program and fails the test if that fails.
func run(t testing.TB, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}

func mkdirs(t testing.TB, dirs ...string) {
	t.Helper()
	for _, d := range dirs {
		must(t, os.MkdirAll(d, 0o755))
	}
}

// ground is a directory on a filesystem of type fstype: "tmpfs", or another one in
// a file in memory, size MiB large, made with the options.
func ground(t testing.TB, fstype string, size int64, options ...string) string {
	t.Helper()
	if fstype == "tmpfs" {
		return testenv.TempDir(t)
	}
	return testenv.LoopFS(t, fstype, size<<20, options...)
}
