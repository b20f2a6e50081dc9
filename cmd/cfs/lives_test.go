package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/runtime/cgroup"
)

// A lair is a store of its own with the image box, and what tells whether anything that came
// of it is left.
type lair struct {
	t      *testing.T
	root   string // of the store
	mark   string // the directory it is in, whose name is found in whatever belongs to it
	parent string // control group of its containers; empty where none can be made
}

func newLair(t *testing.T) *lair {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root, to see every process and make control groups")
	}
	box := testenv.BusyboxRoot(t)
	dir := testenv.TempDir(t)
	l := &lair{t: t, root: filepath.Join(dir, "store"), mark: filepath.Base(dir)}
	if o, err := cgroup.Default("x", "", false); err == nil && !o.Systemd {
		o.Devices = true
		if o.Usable() == nil {
			l.parent = "/" + l.mark
		}
	}
	tar := filepath.Join(dir, "box.tar")
	if out, err := exec.Command("tar", "-C", box, "-cf", tar, ".").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v %s", err, out)
	}
	l.must("import", tar, "box")
	t.Cleanup(func() {
		_, _ = l.cfs("rm", "-f", l.ids()...)
		for _, g := range l.groups() {
			_ = os.Remove(g)
		}
	})
	return l
}

// command is one of cfs's, in this store.
func (l *lair) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "cfs", args...)
	cmd.Env = append(os.Environ(), "CFS_ROOT="+l.root)
	return cmd
}

// cfs runs a command and returns what it printed.
func (l *lair) cfs(command string, flag string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := l.command(ctx, append([]string{command, flag}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("cfs %s %s %s: %w: %s", command, flag, strings.Join(args, " "), err, errs.String())
	}
	return strings.TrimSpace(out.String()), err
}

func (l *lair) must(command, flag string, args ...string) string {
	l.t.Helper()
	out, err := l.cfs(command, flag, args...)
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

// ids are those of the containers that there are.
func (l *lair) ids() []string {
	dirs, _ := filepath.Glob(filepath.Join(l.root, "containers", "[0-9a-f]*"))
	for i, d := range dirs {
		dirs[i] = filepath.Base(d)
	}
	return dirs
}

// limits are the flags of a container that is in a control group.
func (l *lair) limits() []string {
	if l.parent == "" {
		return nil
	}
	return []string{"-m", "64m", "--cgroup-parent", l.parent}
}

// groups are the control groups of the containers, their parents last.
func (l *lair) groups() (dirs []string) {
	if l.parent == "" {
		return nil
	}
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(path, l.parent) {
			dirs = append([]string{path}, dirs...)
		}
		return nil
	})
	return dirs
}

// processes are those that have to do with something of the store, by its name: they were
// started for it, hold files of it, or have something of it mounted.
func (l *lair) processes(mark string) (all []string) {
	entries, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range entries {
		pid, _ := strconv.Atoi(filepath.Base(p))
		argv, err := os.ReadFile(p + "/cmdline")
		if err != nil || pid == os.Getpid() || len(argv) == 0 {
			continue // or it has ended, and is not reaped yet
		}
		found := false
		for _, file := range []string{"/environ", "/mountinfo", "/cmdline"} {
			b, _ := os.ReadFile(p + file)
			found = found || bytes.Contains(b, []byte(mark))
		}
		fds, _ := os.ReadDir(p + "/fd")
		for _, fd := range fds {
			to, _ := os.Readlink(p + "/fd/" + fd.Name())
			found = found || strings.Contains(to, mark)
		}
		if found {
			all = append(all, fmt.Sprintf("%d %s", pid, bytes.ReplaceAll(argv, []byte{0}, []byte{' '})))
		}
	}
	return all
}

// settled waits until a function returns nothing, and is what it returns at last.
func settled(of func() []string) (left []string) {
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if left = of(); len(left) == 0 || time.Now().After(end) {
			return left
		}
	}
}

// empty holds that nothing is left: no process, mount, namespace, control group or file. A
// namespace lives by processes and mounts.
func (l *lair) empty() {
	l.t.Helper()
	l.must("run", "--rm", "box", "true") // sweeps
	if left := settled(func() []string { return l.processes(l.mark) }); len(left) > 0 {
		l.t.Errorf("processes are left:\n%s", strings.Join(left, "\n"))
	}
	if b, err := os.ReadFile("/proc/self/mountinfo"); err != nil || bytes.Contains(b, []byte(l.root)) {
		l.t.Errorf("mounts are left (%v):\n%s", err, b)
	}
	if groups := l.groups(); len(groups) > 0 && filepath.Base(groups[0]) != filepath.Base(l.parent) {
		l.t.Errorf("control groups are left: %v", groups)
	}
	for _, dir := range []string{"containers", "tmp"} {
		entries, err := os.ReadDir(filepath.Join(l.root, dir))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			l.t.Error(err)
		}
		for _, e := range entries {
			if e.Name() != ".names" && e.Name() != "names.lock" {
				l.t.Errorf("%s/%s is left", dir, e.Name())
			}
		}
	}
}

// times is how often something is done: what the variable says, or by default.
func times(t *testing.T, variable string, byDefault int) int {
	s := os.Getenv(variable)
	if s == "" {
		return byDefault
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s is not a number", variable, s)
	}
	return n
}

// Containers of every kind, 8 at a time, leave nothing. CFS_TEST_CONTAINERS is how many.
func TestContainersLeaveNothing(t *testing.T) {
	l := newLair(t)
	todo := make(chan int)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for n := range todo {
				if err := l.live(n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := range times(t, "CFS_TEST_CONTAINERS", 40) {
		todo <- n
	}
	close(todo)
	workers.Wait()
	l.empty()
}

// live is the life of a container, one of several kinds.
func (l *lair) live(n int) error {
	var flags []string
	if n%2 == 0 {
		flags = l.limits()
	}
	with := func(more ...string) []string { return append(more, flags...) }
	name := fmt.Sprintf("c%03d", n)
	switch n % 4 {
	case 0:
		_, err := l.cfs("run", "--rm", with("--network", "none", "box", "true")...)
		if len(flags) > 0 {
			_, err = l.cfs("run", "--rm", append(flags, "box", "true")...)
		}
		return err
	case 1:
		if _, err := l.cfs("create", "--name", append([]string{name}, append(flags, "box", "true")...)...); err != nil {
			return err
		}
		if _, err := l.cfs("start", "-a", name); err != nil {
			return err
		}
		_, err := l.cfs("rm", "--force=false", name)
		return err
	}
	if _, err := l.cfs("run", "-d", append([]string{"--name", name, "--health-cmd", "true", "--health-interval", "10ms"}, append(flags, "box", "sleep", "1000")...)...); err != nil {
		return err
	}
	if _, err := l.cfs("exec", name, "true"); err != nil {
		return err
	}
	if n%4 == 3 {
		if _, err := l.cfs("stop", "--timeout=0", name); err != nil {
			return err
		}
	}
	_, err := l.cfs("rm", "-f", name)
	return err
}

// Whatever process of cfs is killed, and whenever: ps tells what is so, rm removes the
// container, and nothing is left. CFS_TEST_CONTAINER_KILLS is how often.
func TestContainersKilledAnywhere(t *testing.T) {
	l := newLair(t)
	killed := map[string]int{}
	for n := range times(t, "CFS_TEST_CONTAINER_KILLS", 15) {
		who := l.kill(n)
		what, name, _ := strings.Cut(who, ": ")
		killed[what+": "+strings.Fields(name)[0]]++
		for _, id := range l.ids() {
			l.truth(id, who)
		}
		if ids := l.ids(); len(ids) > 0 {
			l.must("rm", "-f", ids...)
		}
		if left := settled(func() []string { return l.processes(l.mark) }); len(left) > 0 {
			t.Errorf("after the end of %s there are left:\n%s", who, strings.Join(left, "\n"))
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("killed: %v", killed)
	l.empty()
}

// kill starts something and kills a process of it at some moment. It says which.
func (l *lair) kill(n int) string {
	flags := []string{"--network", "none"}
	if n%2 == 0 {
		flags = append(flags, l.limits()...)
	}
	kinds := []string{
		"run -d", "run", "exec", "stop", "logs", "cp in", "cp out", "commit", "pause",
		"rm", "start", "restart", "kill", "export", "diff", "attach", "rename", "prune",
	}
	kind := kinds[n%len(kinds)]
	start := append([]string{"run", "--name", "victim"}, flags...)
	var args []string
	switch kind {
	case "run -d":
		args = append(append(start, "-d", "--restart", "on-failure"), "box", "sleep", "1000")
	case "run":
		args = append(append(start, "--rm"), "box", "sleep", "1000")
	default:
		how, flag := "run", "-d"
		if kind == "start" || kind == "prune" {
			how, flag = "create", "-i"
		}
		l.must(how, flag, append(start[1:], "box", "sh", "-c", "trap 'exit 3' TERM; while :; do echo x; sleep 0.01; done")...)
		args = map[string][]string{
			"exec": {"exec", "victim", "sleep", "1000"}, "stop": {"stop", "victim"}, "logs": {"logs", "-f", "victim"},
			"cp in": {"cp", l.tree(), "victim:/copied"}, "cp out": {"cp", "victim:/bin", filepath.Join(l.t.TempDir(), "copied")},
			"commit": {"commit", "victim", "committed"}, "pause": {"pause", "victim"},
			"rm": {"rm", "-f", "victim"}, "start": {"start", "victim"}, "restart": {"restart", "-t", "0", "victim"},
			"kill": {"kill", "victim"}, "export": {"export", "-o", filepath.Join(l.t.TempDir(), "exported"), "victim"},
			"diff": {"diff", "victim"}, "attach": {"attach", "--no-stdin", "victim"}, "rename": {"rename", "victim", "renamed"},
			"prune": {"container", "prune", "-f"},
		}[kind]
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := l.command(ctx, args...)
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	time.Sleep(time.Duration(rand.Int64N(int64(60 * time.Millisecond))))
	who := l.victim(cmd.Process.Pid)
	// S of a foreground container ends with P, P of a background one by itself.
	if kind == "exec" || kind == "logs" || kind == "attach" || kind == "run" && !strings.HasPrefix(who, "cfs ") {
		defer func() { _ = cmd.Process.Kill() }()
		time.Sleep(5 * time.Millisecond)
		_ = cmd.Process.Kill()
	}
	_ = cmd.Wait()
	return kind + ": " + who
}

// victim kills one of the processes that there are, or the command itself.
func (l *lair) victim(command int) string {
	all := l.processes(l.mark)
	if len(all) > 0 && rand.IntN(6) == 0 { // the whole tree, as when a machine is short of memory
		for _, one := range all {
			pid, _, _ := strings.Cut(one, " ")
			if n, err := strconv.Atoi(pid); err == nil {
				_ = unix.Kill(n, unix.SIGKILL)
			}
		}
		return "all of it"
	}
	if len(all) == 0 || rand.IntN(4) == 0 {
		_ = unix.Kill(command, unix.SIGKILL)
		return "cfs itself"
	}
	one := all[rand.IntN(len(all))]
	pid, name, _ := strings.Cut(one, " ")
	if n, err := strconv.Atoi(pid); err == nil {
		_ = unix.Kill(n, unix.SIGKILL)
	}
	return name
}

// truth holds that a container is as it is said to be.
func (l *lair) truth(id, who string) {
	l.t.Helper()
	if strings.HasPrefix(who, "run: ") { // it goes with its process, or is to be swept
		if left := settled(func() []string { return l.listed(id) }); len(left) > 0 {
			l.t.Errorf("after the end of %s ps lists it:\n%s", who, left)
		}
		return
	}
	list := l.must("ps", "--all=true")
	status, err := l.cfs("inspect", "--format={{.State.Status}} {{.State.Running}}", id)
	_, gone := os.Stat(filepath.Join(l.root, "containers", id))
	switch {
	case gone != nil: // with its process, as it was to
	case err != nil:
		l.t.Errorf("after the end of %s: %v", who, err)
	case !strings.Contains(list, id[:12]):
		l.t.Errorf("after the end of %s ps doesn't know %s:\n%s", who, id, list)
	case strings.HasSuffix(status, "true"):
		// It may be about to end, or to begin.
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			l.resume(id, who)
			if _, err := l.cfs("exec", "--user=0", id, "true"); err == nil {
				return
			}
			if now, err := l.cfs("inspect", "--format={{.State.Running}}", id); err != nil || now == "false" {
				break
			}
			if time.Now().After(end) {
				l.t.Errorf("after the end of %s it is said to be %s, and nothing can be executed in it", who, status)
				return
			}
		}
		fallthrough
	default:
		if left := settled(func() []string { return l.processes(id) }); len(left) > 0 {
			l.t.Errorf("after the end of %s it is said to be %s, and there are\n%s", who, status, strings.Join(left, "\n"))
		}
	}
}

// listed is what ps says of a container, if anything.
func (l *lair) listed(id string) []string {
	lines := strings.Split(l.must("ps", "--all=true"), "\n")
	return slices.DeleteFunc(lines, func(line string) bool { return !strings.HasPrefix(line, id[:12]) })
}

// resume lets a container go on that is paused, by a person; who pauses it to read its
// changes has it go on also when killed.
func (l *lair) resume(id, who string) {
	l.t.Helper()
	if status, err := l.cfs("inspect", "--format={{.State.Status}}", id); err != nil || status != "paused" {
		return
	}
	if !strings.HasPrefix(who, "pause: ") {
		l.t.Errorf("after the end of %s it is paused", who)
	}
	_, _ = l.cfs("unpause", "--", id) // unless it is about to end, which is seen then
}

// tree is a directory of files that take some time to copy.
func (l *lair) tree() string {
	dir := filepath.Join(filepath.Dir(l.root), "tree")
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		l.t.Fatal(err)
	}
	for n := range 200 {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(n)), make([]byte, 64<<10), 0o644); err != nil {
			l.t.Fatal(err)
		}
	}
	return dir
}
