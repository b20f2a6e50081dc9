package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	"github.com/opencontainers/cgroups"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/imagecmd/hello"
	"github.com/cfs-project/cfs/internal/debianroot"
	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/runtime/cgroup"
)

// stranger is the uid and gid of an ordinary user with no name, no sub-uids and
// no privilege at all.
const stranger = 54321

// privateEnv is set in the run of this test binary that has a mount namespace of its own.
const privateEnv = "CFS_TEST_PRIVATE"

// TestMain makes the test binary be cfs when it is called so, and runs the tests
// as root in mount and network namespaces of their own, where /dev/fuse and /dev/net/tun
// are everyone's: what a test leaves mounted can't outlive it, and ordinary users can
// be tried on hosts that keep the devices to root.
func TestMain(m *testing.M) {
	testenv.Main()
	if filepath.Base(os.Args[0]) == "agent-client" { // in a container
		agentClient()
		return
	}
	becomeStage()
	commands := map[string]func(){"cfs": main, hello.Name: main, "fuse-overlayfs": main, "mount.fuse.cfs": main, "docker": dockerMain, "cfs-runtime": main, "crun": main, "answer": answerMain}
	if os.Geteuid() == 0 && os.Getenv(privateEnv) == "" && commands[filepath.Base(os.Args[0])] == nil {
		os.Exit(inPrivateNamespace())
	}
	if os.Getenv(privateEnv) != "" && os.Geteuid() == 0 {
		// As systemd has it: what is unmounted here is unmounted in the copies of this
		// namespace that other scripts' containers have, too.
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if testenv.Reexecuted() { // who may not read the test binary, which testscript would install
		os.Exit(m.Run())
	}
	testscript.Main(m, commands)
}

func inPrivateNamespace() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), privateEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET}
	if err := cmd.Run(); err != nil {
		if cmd.ProcessState != nil && cmd.ProcessState.Exited() {
			return cmd.ProcessState.ExitCode()
		}
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// welcomeStranger makes the host one that ordinary users can use: its devices have
// mode 0666, and the stranger has a name, without which fusermount3 does nothing.
func welcomeStranger(dir string) error {
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return err
	}
	users := filepath.Join(dir, "passwd")
	passwd = fmt.Appendf(passwd, "stranger:x:%d:%d::/nonexistent:/bin/sh\n", stranger, stranger)
	if err := os.WriteFile(users, passwd, 0o644); err != nil {
		return err
	}
	if err := unix.Mount(users, "/etc/passwd", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s on /etc/passwd: %w", users, err)
	}
	for _, path := range everyones {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		node := filepath.Join(dir, filepath.Base(path))
		if err := unix.Mknod(node, unix.S_IFCHR|0o666, int(st.Rdev)); err != nil {
			return err
		}
		if err := os.Chmod(node, 0o666); err != nil {
			return err
		}
		if err := unix.Mount(node, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s on %s: %w", node, path, err)
		}
	}
	return nil
}

// everyones are devices that may be root's alone on this machine.
var everyones = []string{"/dev/fuse", "/dev/net/tun"}

// TestScripts runs testdata/script/*.txtar. Conditions: [root], [devicemapper] and [zfs] for
// scripts that need them, [cgroupfs] where systemd isn't asked for control groups, [unified]
// where there is cgroup v2 alone, [debian] where there is its root. Commands beside
// testscript's own:
//
//	asuser PROGRAM ARG...   run as an ordinary user (root needed; see stranger)
//	status N PROGRAM ARG... run and expect exit status N
//	until [!]REGEXP PROGRAM ARG...  run again and again, until its output matches (or doesn't)
//	killservers             kill -9 the servers of this script's mounts
//	registry NAME ...       start a registry, whose address is $NAME then; see startRegistry
//	busyboxtar FILE [PROGRAM...]  write a small root as a tar: busybox, users, a secret, and programs
//	debiantar FILE          copy a tar of Debian's minimal root
//	dial PROTOCOL ADDRESS   send "ping" by tcp or udp until an answer comes, and print it
//	[!] dockerstore DIR DRIVER NAME:TAG LAYER.tar...  write Docker's directory; see dockerStore
//	nolink FILE             wait until the container with the address in FILE has no interface on the host
func TestScripts(t *testing.T) { runScripts(t, "testdata/script") }

func runScripts(t *testing.T, scripts string) {
	if os.Geteuid() == 0 {
		dir := t.TempDir()
		if err := welcomeStranger(dir); err != nil {
			t.Fatalf("welcoming ordinary users: %v", err)
		}
		if err := ownNetwork(); err != nil {
			t.Fatal(err)
		}
		before := emptyGroups()
		t.Cleanup(func() { // after the scripts, which run in parallel
			noGroups(t, before)
			for _, path := range append([]string{"/etc/passwd"}, everyones...) {
				if err := unix.Unmount(path, 0); err != nil && !errors.Is(err, fs.ErrNotExist) { // a host without the device
					t.Errorf("unmounting %s: %v", path, err)
				}
			}
		})
	}
	testscript.Run(t, testscript.Params{
		Dir:             scripts,
		TestWork:        false,
		WorkdirRoot:     workRoot(t),
		ContinueOnError: false,
		Setup:           setupScript,
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Geteuid() == 0, nil
			case "cgroupfs": // control groups are made by files, not by systemd
				o, err := cgroup.Default("x", "", false)
				return !o.Systemd, err
			case "unified":
				return cgroups.IsCgroup2UnifiedMode(), nil
			case "debian": // a root of it is there, or can be built
				_, err := debianroot.Tar(context.Background())
				return err == nil, nil
			case "devicemapper":
				_, err := os.Stat("/dev/mapper/control")
				return err == nil, nil
			case "zfs": // in the kernel, not in a process
				_, err := os.Stat("/sys/module/zfs")
				return err == nil, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"asuser":      asUser,
			"status":      expectStatus,
			"busyboxtar":  busyboxTar,
			"debiantar":   debianTar,
			"killservers": killServers,
			"until":       until,
			"registry":    startRegistry,
			"dial":        dial,
			"dockerstore": dockerStore,
			"nolink":      noLink,
		},
	})
}

// emptyGroups are the control groups of containers, and those of engines that call cfs,
// that nothing is in.
func emptyGroups() (dirs []string) {
	name := regexp.MustCompile(`^(cfs-[0-9a-f]{64}(\.scope)?|cfs-podman-.*)$`)
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || !name.MatchString(d.Name()) {
			return nil // it may be going
		}
		if p, err := cgroups.GetAllPids(path); err == nil && len(p) == 0 {
			dirs = append(dirs, path)
		}
		return fs.SkipDir
	})
	return dirs
}

// noGroups fails if there are control groups for a while that nothing is in, and that weren't
// there before. A container that lives, whoever's it is, has something in its own.
func noGroups(t *testing.T, before []string) {
	t.Helper()
	left := emptyGroups()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		now := emptyGroups()
		left = slices.DeleteFunc(left, func(dir string) bool { return slices.Contains(before, dir) || !slices.Contains(now, dir) })
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			break
		}
	}
	t.Errorf("control groups are left: %v", left)
	for _, dir := range left {
		_ = os.Remove(dir)
	}
}

// workRoot is a directory that an ordinary user may pass through.
func workRoot(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "cfs-script-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func setupScript(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, "user")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(home, stranger, stranger); err != nil {
			return err
		}
		// testscript makes its directories 0700 or 0777 by umask.
		if err := os.Chmod(env.WorkDir, 0o755); err != nil {
			return err
		}
	}
	// An ordinary user can't pass through the directory testscript keeps cfs in.
	bin := filepath.Join(env.WorkDir, "bin")
	if err := installSelf(bin); err != nil {
		return err
	}
	env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
	env.Setenv("CFS_ROOT", filepath.Join(env.WorkDir, "store"))
	env.Setenv("USERHOME", home)
	env.Setenv("UNIQUE", filepath.Base(filepath.Dir(env.WorkDir)))
	env.Setenv("UID", strconv.Itoa(os.Geteuid()))
	env.Defer(func() {
		// What a script that failed has left.
		_, _ = killHolders(env.WorkDir+"/", "cfs-monitor")
		unmountBelow(env.WorkDir)
	})
	return nil
}

// unmountBelow ends what a script that failed has left mounted, and so its servers.
func unmountBelow(dir string) {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return // the script has failed, and said why
	}
	for _, m := range slices.Backward(mounts) {
		_ = unix.Unmount(m.Mountpoint, unix.UMOUNT_NOFOLLOW)
	}
}

// installSelf puts this test binary, which is cfs by that name, into dir.
func installSelf(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "cfs"), b, 0o755); err != nil {
		return err
	}
	return os.Link(filepath.Join(dir, "cfs"), filepath.Join(dir, "answer"))
}

func asUser(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: asuser PROGRAM ARG...")
	}
	home := ts.Getenv("USERHOME")
	call := []string{
		"--reuid", strconv.Itoa(stranger), "--regid", strconv.Itoa(stranger), "--clear-groups",
		"env", "HOME=" + home, "CFS_ROOT=" + filepath.Join(home, "store"), "USER=stranger",
	}
	err := ts.Exec("setpriv", append(call, args...)...)
	switch {
	case err != nil && !neg:
		ts.Fatalf("asuser %s: %v", strings.Join(args, " "), err)
	case err == nil && neg:
		ts.Fatalf("asuser %s: unexpected success", strings.Join(args, " "))
	}
}

func expectStatus(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: status N PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := err.(*exec.ExitError)
		if !ok {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s: exit status %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// until runs a program again and again.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: until [!]REGEXP PROGRAM ARG...")
	}
	pattern, without := strings.CutPrefix(args[0], "!")
	want, err := regexp.Compile("(?m)" + pattern)
	ts.Check(err)
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		var err error
		if args[1] == "asuser" {
			asUser(ts, false, args[2:])
		} else {
			err = ts.Exec(args[1], args[2:]...)
		}
		if err == nil && want.MatchString(ts.ReadFile("stdout")) != without {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s: it stays so (%v)", strings.Join(args, " "), err)
		}
	}
}

// killServers kills the servers that hold containers of the script's stores, its own and
// the ordinary user's: those of mounts, or those of the name given.
func killServers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: killservers [NAME]")
	}
	name := append(args, "cfs-serve")[0]
	killed := 0
	for _, store := range []string{ts.MkAbs("store"), filepath.Join(ts.Getenv("USERHOME"), "store")} {
		n, err := killHolders(store+"/", name)
		ts.Check(err)
		killed += n
	}
	if killed == 0 {
		ts.Fatalf("killservers: there are none")
	}
}

// killHolders kills the processes with an argv[0] that have something below dir open, and
// waits for their end.
func killHolders(dir, name string) (int, error) {
	held, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return 0, err
	}
	killed := map[int]bool{}
	for _, fd := range held {
		pid, err := strconv.Atoi(strings.Split(fd, "/")[2])
		if err != nil {
			return 0, err
		}
		argv, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || killed[pid] || !strings.HasPrefix(string(argv), name+"\x00") {
			continue
		}
		if path, err := os.Readlink(fd); err == nil && strings.HasPrefix(path, dir) {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				return 0, err
			}
			killed[pid] = true
		}
	}
	// A process is gone, or a zombie without threads, before its mounts are dead.
	for pid := range killed {
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
			fds, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
			if err != nil || len(threads) <= 1 && len(fds) == 0 {
				break
			}
			if time.Now().After(end) {
				return 0, fmt.Errorf("process %d stays", pid)
			}
		}
	}
	return len(killed), nil
}
