package runtime_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/userns"
)

// The view from inside, for every user.
func TestInside(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		for _, c := range []struct {
			name, line, want string
		}{
			{"hostname", `hostname; echo $HOSTNAME`, "box\nbox\n"},
			{"identity", `id -u; id -g; echo $HOME; pwd`, "0\n0\n/root\n/\n"},
			{"pid 1", `echo $$`, "1\n"},
			{"descriptors", `ls /proc/self/fd | tr '\n' ' '`, "0 1 2 3 "}, // 3 is ls's own
			{"standard input is /dev/null", `readlink /proc/self/fd/0; cat`, "/dev/null\n"},
			{"capabilities", `grep -E '^(Cap|NoNew)' /proc/self/status`,
				"CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\n"},
			{"devices", `ls /dev | tr '\n' ' '`, "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero "},
			{"null, zero, full", `echo x >/dev/null; head -c 3 /dev/zero | wc -c; echo x 2>/dev/null >/dev/full || echo full`, "3\nfull\n"},
			{"a new terminal", `test -c /dev/pts/ptmx && test -c /dev/ptmx && ls /dev/pts`, "ptmx\n"},
			{"masked file", `wc -c </proc/keys; wc -c </proc/timer_list`, "0\n0\n"},
			{"masked directory", `ls -A /sys/firmware /proc/scsi 2>/dev/null | grep -v : | grep . ; echo end`, "end\n"},
			{"read-only", `for f in /proc/sys/kernel/hostname /proc/irq/default_smp_affinity; do (echo x >$f) 2>&1 | sed 's/.*: //'; done`,
				"Read-only file system\nRead-only file system\n"},
			{"loopback", `ip -o link | sed 's/<.*UP.*>.*/UP/'; ping -c1 -w2 127.0.0.1 | grep -c ' 0% packet loss'`, "1: lo: UP\n1\n"},
			{"shared memory", `echo x >/dev/shm/a && cat /dev/shm/a; stat -c %a /dev/shm`, "x\n1777\n"},
			{"ports below 1024", `cat /proc/sys/net/ipv4/ip_unprivileged_port_start`, "0\n"},
			{"nothing of the host", `ls / | tr '\n' ' '; wc -l </proc/self/mountinfo | grep -c '^[123][0-9]$'`,
				"bin dev etc home proc root sys tmp usr 1\n"},
			{"alone", `ls /proc >/tmp/all; grep -c '^[0-9]' /tmp/all`, "2\n"}, // sh and ls
			{"dies alone", `sleep 1000 & exit 3`, ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				j := newJob(t, runtime.SpecOptions{Args: []string{"sh", "-c", c.line}, Hostname: "box", User: runtime.User{Home: "/root"}})
				if c.name == "dies alone" {
					if r := j.run(t); r.status != 3 {
						t.Fatalf("status %d", r.status)
					}
					return
				}
				if diff := cmp.Diff(c.want, j.ok(t)); diff != "" {
					t.Error(diff)
				}
			})
		}
	})
}

func TestNamespacesDiffer(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		out := sh(t, `for n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$n; done`).ok(t)
		host := func(n string) string {
			s, err := os.Readlink("/proc/self/ns/" + n)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		for i, inside := range strings.Fields(out) {
			n := []string{"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"}[i]
			same := inside == host(n)
			if want := n == "user" && who == testenv.Root; same != want {
				t.Errorf("%s namespace: inside %s, host %s", n, inside, host(n))
			}
		}
	})
}

func TestHostNetwork(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		want, err := os.Readlink("/proc/self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		j := newJob(t, runtime.SpecOptions{Args: []string{"sh", "-c", "readlink /proc/self/ns/net; test -d /sys/class/net/lo; mkdir /sys/x 2>&1 | sed 's/.*: //'"}, Network: runtime.NetworkHost})
		if got := j.ok(t); !strings.HasPrefix(got, want+"\n") || !strings.Contains(got, "Read-only") && !strings.Contains(got, "not permitted") {
			t.Errorf("got %q, want %s", got, want)
		}
	})
}

func TestUser(t *testing.T) {
	for _, who := range []testenv.User{testenv.Root, testenv.Ranged} {
		testenv.AsUser(t, who, func(t *testing.T, who testenv.User) {
			j := newJob(t, runtime.SpecOptions{})
			u, err := runtime.LookupUser(j.Root, "alice")
			if err != nil {
				t.Fatal(err)
			}
			m, _ := userns.Detect()
			line := `id -u; id -g; id -G; echo $HOME; grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status; echo >/etc/x`
			j.Spec = runtime.DefaultSpec(runtime.SpecOptions{Args: []string{"sh", "-c", line}, User: u, Cwd: u.Home, Mapping: m})
			for _, init := range []bool{false, true} {
				j.Init = init
				r := j.run(t)
				want := "1000\n1000\n1000 29 100\n/home/alice\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb\n"
				if diff := cmp.Diff(want, r.out); diff != "" || r.status != 1 || !strings.Contains(r.err, "ermission denied") {
					t.Errorf("init=%v: %s, %+v", init, diff, r)
				}
			}
		})
	}
	testenv.AsUser(t, testenv.Single, func(t *testing.T, who testenv.User) {
		j := newJob(t, runtime.SpecOptions{Args: []string{"id"}, User: runtime.User{UID: 1000}})
		if r := j.run(t); r.status != 125 || !strings.Contains(r.err, "user 1000 has no such id") {
			t.Errorf("%+v", r)
		}
		// root's supplementary groups don't exist here and are left out.
		j = newJob(t, runtime.SpecOptions{Args: []string{"id", "-u"}, User: runtime.User{Groups: []uint32{29}}})
		if got := j.ok(t); got != "0\n" {
			t.Errorf("got %q", got)
		}
	})
}

func TestProcess(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		umask, score := uint32(0o27), 500
		for _, c := range []struct {
			name   string
			change func(*job)
			want   result
		}{
			{"no_new_privs", func(j *job) {
				j.Spec.Process.NoNewPrivileges = true
				j.Spec.Process.Args[2] = "grep NoNew /proc/self/status"
			}, result{out: "NoNewPrivs:\t1\n"}},
			{"umask", func(j *job) {
				j.Spec.Process.User.Umask = &umask
				j.Spec.Process.Args[2] = "umask"
			}, result{out: "0027\n"}},
			{"oom score", func(j *job) {
				j.Spec.Process.OOMScoreAdj = &score
				j.Spec.Process.Args[2] = "cat /proc/self/oom_score_adj"
			}, result{out: "500\n"}},
			{"rlimit", func(j *job) {
				j.Spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 100, Hard: 200}, {Type: "RLIMIT_CORE"}}
				j.Spec.Process.Args[2] = "ulimit -Sn; ulimit -Hn; ulimit -c"
			}, result{out: "100\n200\n0\n"}},
			{"rlimit too high", func(j *job) {
				j.Spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1 << 29, Hard: 1 << 29}}
			}, result{status: 125, err: "set RLIMIT_NOFILE to 536870912: "}},
			{"cwd is made", func(j *job) {
				j.Spec.Process.Cwd = "/made/here"
				j.Spec.Process.Args[2] = "pwd"
			}, result{out: "/made/here\n"}},
			{"bytes in arguments", func(j *job) {
				j.Spec.Process.Args = []string{"sh", "-c", `echo "$1" | od -An -tx1`, "sh", "a\tb"}
			}, result{out: " 61 09 62 0a\n"}},
			{"environment", func(j *job) {
				j.Spec.Process.Env = []string{"A=1", "PATH=/bin", "B=a b"}
				j.Spec.Process.Args = []string{"env"}
			}, result{out: "A=1\nPATH=/bin\nB=a b\n"}},
			{"read-only root", func(j *job) {
				j.Spec.Root.Readonly = true
				j.Spec.Process.Args[2] = "touch /x; touch /dev/shm/x && echo written"
			}, result{out: "written\n", err: "Read-only file system"}},
			{"ambient", func(j *job) {
				c := []string{"CAP_NET_RAW"}
				*j.Spec.Process.Capabilities = specs.LinuxCapabilities{Bounding: c, Effective: c, Permitted: c, Inheritable: c, Ambient: c}
				j.Spec.Process.Args[2] = "grep -E '^Cap' /proc/self/status | cut -f2 | sort -u"
			}, result{out: "0000000000002000\n"}},
			{"no capabilities", func(j *job) {
				j.Spec.Process.Capabilities = nil
				j.Spec.Process.Args[2] = "grep -E '^Cap' /proc/self/status | cut -f2 | sort -u"
			}, result{out: "0000000000000000\n"}},
			{"sysctl", func(j *job) {
				j.Spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_default_ttl": "77", "kernel.msgmax": "4096"}
				j.Spec.Process.Args[2] = "cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/msgmax"
			}, result{out: "77\n4096\n"}},
			{"sysctl of the host", func(j *job) {
				j.Spec.Linux.Sysctl = map[string]string{"vm.swappiness": "1"}
			}, result{status: 125, err: "linux.sysctl vm.swappiness belongs to no namespace"}},
			{"closed standard output", func(j *job) {
				j.Spec.Process.Args[2] = "exec >&-; true"
			}, result{}},
		} {
			for _, init := range []bool{false, true} {
				j := sh(t, "true")
				j.Init = init
				c.change(j)
				r := j.run(t)
				if r.status != c.want.status || r.out != c.want.out || !strings.Contains(r.err, c.want.err) || c.want.err == "" && r.err != "" {
					t.Errorf("%s, init=%v: got %+v, want %+v", c.name, init, r, c.want)
				}
			}
		}
	})
}

func TestMounts(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		src := testenv.TempDir(t)
		write(t, src+"/file", "hello\n", 0o644)
		// Not below /dev, which is another file system inside.
		outside, err := os.MkdirTemp("/var/tmp", "cfs-test-")
		if err != nil {
			if outside, err = os.MkdirTemp("/tmp", "cfs-test-"); err != nil {
				t.Fatal(err)
			}
		}
		defer os.RemoveAll(outside)
		for _, c := range []struct {
			name   string
			mounts []specs.Mount
			line   string
			want   result
		}{
			{"bind", []specs.Mount{{Destination: "/mnt/deep", Type: "bind", Source: src, Options: []string{"rbind"}}},
				"cat /mnt/deep/file; echo bye >/mnt/deep/new && rm /mnt/deep/new", result{out: "hello\n"}},
			{"bind read-only", []specs.Mount{{Destination: "/mnt", Source: src, Options: []string{"bind", "ro", "nosuid", "noexec", "nodev"}}},
				"touch /mnt/x; grep -o ' /mnt ro,nosuid,nodev,noexec' /proc/self/mountinfo", result{out: " /mnt ro,nosuid,nodev,noexec\n", err: "Read-only"}},
			{"bind recursively read-only", []specs.Mount{{Destination: "/mnt", Source: src, Options: []string{"rbind", "rro"}}},
				"touch /mnt/x", result{status: 1, err: "Read-only"}},
			{"file", []specs.Mount{{Destination: "/etc/a/b", Source: src + "/file", Options: []string{"bind"}}},
				"cat /etc/a/b", result{out: "hello\n"}},
			{"tmpfs", []specs.Mount{{Destination: "/scratch", Type: "tmpfs", Options: []string{"size=64k", "mode=0700", "noexec"}}},
				"stat -c %a /scratch; dd if=/dev/zero of=/scratch/x bs=100k count=1", result{status: 1, out: "700\n", err: "No space left"}},
			{"through a link out", []specs.Mount{{Destination: "/link/x", Source: src, Options: []string{"bind"}}},
				"cat " + outside + "/x/file", result{out: "hello\n"}},
			{"through dots", []specs.Mount{{Destination: "/../../../mnt", Source: src, Options: []string{"bind"}}},
				"cat /mnt/file", result{out: "hello\n"}},
			{"on a dangling link", []specs.Mount{{Destination: "/dangling/x", Source: src, Options: []string{"bind"}}},
				"true", result{status: 125, err: "make directory /dangling/x"}},
			{"missing source", []specs.Mount{{Destination: "/mnt", Source: src + "/none", Options: []string{"bind"}}},
				"true", result{status: 125, err: "no such file or directory"}},
			{"unknown option", []specs.Mount{{Destination: "/mnt", Type: "tmpfs", Options: []string{"nonsense=1"}}},
				"true", result{status: 125, err: "option nonsense=1: invalid argument (tmpfs: Unknown parameter 'nonsense')"}},
			{"bind option for a file system", []specs.Mount{{Destination: "/mnt", Source: src, Options: []string{"bind", "mode=1"}}},
				"cat /mnt/file", result{out: "hello\n"}}, // passed over, as by mount(2)
			{"cgroup option", []specs.Mount{{Destination: "/sys/fs/cgroup", Type: "cgroup", Options: []string{"cpu"}}},
				"true", result{status: 125, err: `option "cpu" has no meaning`}},
		} {
			j := sh(t, c.line)
			for name, target := range map[string]string{"link": "/../.." + outside, "dangling": "/none"} {
				if err := os.Symlink(target, filepath.Join(j.Root, name)); err != nil {
					t.Fatal(err)
				}
			}
			// What an escaping link would reach exists inside, too.
			if err := os.MkdirAll(filepath.Join(j.Root, outside), 0o755); err != nil {
				t.Fatal(err)
			}
			j.Spec.Mounts = append(j.Spec.Mounts, c.mounts...)
			r := j.run(t)
			if r.status != c.want.status || r.out != c.want.out || !strings.Contains(r.err, c.want.err) || c.want.err == "" && r.err != "" {
				t.Errorf("%s: got %+v, want %+v", c.name, r, c.want)
			}
			if left, _ := os.ReadDir(outside); len(left) > 0 {
				t.Errorf("%s: made %v outside the root", c.name, left)
			}
		}
	})
}

// An image may try to redirect what is mounted, masked or opened.
func TestHostileRoot(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		for _, c := range []struct {
			name string
			path string // replaced in the root by a link
			to   string
			want result
		}{
			{"/proc is a link", "proc", "/tmp", result{status: 125, err: "must be mounted on a plain directory"}},
			{"/sys is a link", "sys", "tmp", result{status: 125, err: "must be mounted on a plain directory"}},
			{"/dev is a link into the root", "dev", "/tmp", result{out: "ok\n"}},
			{"/dev is a link out of it", "dev", "../../../../../dev/shm/none", result{status: 125, err: "make directory /dev"}},
		} {
			j := sh(t, "echo ok")
			if err := os.Remove(filepath.Join(j.Root, c.path)); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(c.to, filepath.Join(j.Root, c.path)); err != nil {
				t.Fatal(err)
			}
			r := j.run(t)
			if r.status != c.want.status || r.out != c.want.out || !strings.Contains(r.err, c.want.err) {
				t.Errorf("%s: got %+v, want %+v", c.name, r, c.want)
			}
		}
	})
}

// Our own PID 1 must give its executable to nobody.
func TestInitIsOpaque(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		j := sh(t, `cat /proc/1/comm; for f in exe fd/0 fd/1 root cwd; do readlink /proc/1/$f; done; cat /proc/1/environ; (: >/proc/1/exe) 2>&1; ls -A /proc/1/map_files; true`)
		j.Init = true
		r := j.run(t)
		if r.out != "cfs-init\nsh: can't create /proc/1/exe: Permission denied\n" || !strings.Contains(r.err, "environ': Permission denied") {
			t.Errorf("from inside: %+v", r)
		}
	})
	// A privileged container may look, but finds a read-only file.
	testenv.AsUser(t, testenv.Root, func(t *testing.T, who testenv.User) {
		j := sh(t, `: >/proc/1/exe`)
		j.Init = true
		all := []string{}
		for _, c := range []string{"CHOWN", "DAC_OVERRIDE", "SYS_PTRACE", "SYS_ADMIN", "FOWNER"} {
			all = append(all, "CAP_"+c)
		}
		*j.Spec.Process.Capabilities = specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all}
		r := j.run(t)
		if !strings.Contains(r.err, "Read-only file system") {
			t.Errorf("writing to our executable: %+v", r)
		}
	})
}

// A configuration may ask for its own user namespace on top of what S has.
func TestSpecUserNamespace(t *testing.T) {
	for _, who := range []testenv.User{testenv.Root, testenv.Ranged} {
		testenv.AsUser(t, who, func(t *testing.T, who testenv.User) {
			j := sh(t, "cat /proc/self/uid_map | tr -s ' '; id -u; echo x >/dev/null; head -c1 /dev/zero | wc -c")
			j.Spec.Linux.Namespaces = append(j.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
			m := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 0, Size: 1}, {ContainerID: 1, HostID: 100, Size: 50}}
			j.Spec.Linux.UIDMappings, j.Spec.Linux.GIDMappings = m, m
			for i := range j.Spec.Mounts {
				if j.Spec.Mounts[i].Destination == "/dev/pts" {
					j.Spec.Mounts[i].Options = append(j.Spec.Mounts[i].Options, "gid=0")
				}
			}
			j.Spec.Linux.Sysctl = nil
			if got, want := j.ok(t), " 0 0 1\n 1 100 50\n0\n1\n"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}
