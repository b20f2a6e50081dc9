package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/testenv"
)

// person is somebody with a store of his own, who types commands.
type person struct {
	t   *testing.T
	dir string
	env []string
}

func newPerson(t *testing.T, env ...string) person {
	t.Helper()
	dir := testenv.TempDir(t)
	if err := installSelf(filepath.Join(dir, "bin")); err != nil {
		t.Fatal(err)
	}
	return person{t, dir, append(append(os.Environ(), "CFS_ROOT="+filepath.Join(dir, "store")), env...)}
}

func (p person) command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.dir, "bin/cfs"), args...)
	cmd.Env, cmd.Dir = p.env, p.dir
	return cmd
}

// cfs runs a command and returns what it printed, without the last line's end.
func (p person) cfs(args ...string) (string, error) {
	cmd := p.command(args...)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	err := cmd.Run()
	if talk.Len() > 0 {
		p.t.Logf("cfs %s:\n%s", strings.Join(args, " "), &talk)
	}
	return strings.TrimSuffix(out.String(), "\n"), err
}

// must is cfs for a command that has to succeed.
func (p person) must(args ...string) string {
	p.t.Helper()
	out, err := p.cfs(args...)
	if err != nil {
		p.t.Fatalf("cfs %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// layers are the diff IDs of an image.
func (p person) layers(name string) []digest.Digest {
	p.t.Helper()
	st, err := store.Open(filepath.Join(p.dir, "store"), store.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	img, err := st.Resolve(context.Background(), name)
	if err != nil {
		p.t.Fatal(err)
	}
	return img.Config.RootFS.DiffIDs
}

// The same change twice: in another order, by other ways, some of it at another
// time, with other inodes.
var sameChange = []string{
	`set -e
	mkdir -p /a/b/c /z; echo one > /a/b/one; echo two > /a/b/c/two; ln /a/b/one /a/linked; ln -s ../x /a/b/symlink
	echo more >> /etc/passwd; rm /etc/group; rm -r /home; mkdir /home; echo new > /home/new; chmod 700 /tmp
	mv /usr/bin /usr/moved; mkfifo /z/pipe; chmod 4755 /a/b/one; dd if=/dev/zero of=/sparse bs=1 count=1 seek=300000 2>/dev/null
	chmod 1777 /z`,
	`set -e
	dd if=/dev/zero of=/sparse bs=1 count=1 seek=300000 2>/dev/null
	mkdir /z; chmod 1777 /z; mkfifo /z/temp; mv /z/temp /z/pipe; mv /usr/bin /moved; mv /moved /usr/moved; echo x > /usr/x; rm /usr/x
	chmod 711 /tmp; chmod 700 /tmp; rm -r /home; echo file > /home; rm /home; mkdir /home; printf 'new\n' > /home/new
	rm /etc/group; cp /etc/passwd /etc/p; echo more >> /etc/p; cat /etc/p > /etc/passwd; rm /etc/p
	mkdir /a; ln -s wrong /a/link; mkdir -p /a/b/d; mv /a/b/d /a/b/c; echo one > /a/linked; ln /a/linked /a/b/one; chmod 4755 /a/linked
	rm /a/link; ln -s ../x /a/b/symlink; echo tw > /a/b/c/two; echo two > /a/b/c/two`,
}

func TestSameChangeSameLayer(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		p := newPerson(t, "SOURCE_DATE_EPOCH=1000000000")
		tarBusybox(t, filepath.Join(p.dir, "box.tar"))
		p.must("import", "box.tar", "box")
		var want []digest.Digest
		for _, driver := range []string{"union", "overlay2"} {
			for i, change := range sameChange {
				name := driver + string(rune('0'+i))
				if _, err := p.cfs("run", "--driver", driver, "--name", name, "box", "sh", "-c", change); err != nil {
					if driver == "union" {
						t.Fatal(err)
					}
					t.Skipf("SKIPPED: driver %s does not work here for %s: %v", driver, who, err)
				}
				p.must("commit", name, name)
				p.must("rm", name)
				layers := p.layers(name)
				if len(layers) != 2 {
					t.Fatalf("%s: %d layers", name, len(layers))
				}
				if want == nil {
					want = layers
				}
				if diff := cmp.Diff(want, layers); diff != "" {
					t.Errorf("%s: %s", name, diff)
				}
			}
		}
	})
}

// tarBusybox writes testenv's root as a tar in which all is root's.
func tarBusybox(t *testing.T, path string) {
	t.Helper()
	root := testenv.BusyboxRoot(t)
	if out, err := exec.Command("tar", "--owner=0", "--group=0", "--mtime=@900000000", "-C", root, "-cf", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
}

// What belongs to other users than the one who runs cfs is committed as the
// container has it, and is there again in a container of the image.
func TestCommitOwners(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		p := newPerson(t)
		tarBusybox(t, filepath.Join(p.dir, "box.tar"))
		p.must("import", "box.tar", "box")
		p.must("run", "--name", "work", "box", "sh", "-c", `mkdir -m 700 /of; echo secret > /of/alice; chmod 600 /of/alice; chown -R 1000:100 /of; echo z >> /of/alice; touch /of/root`)
		show := []string{"sh", "-c", "stat -c '%n %u:%g %a' /of /of/*; cat /of/alice"}
		want := "/of 1000:100 700\n/of/alice 1000:100 600\n/of/root 0:0 644\nsecret\nz"
		if who == testenv.Single {
			want = strings.ReplaceAll(want, "1000:100", "0:0") // there is nobody else
		}
		p.must("commit", "work", "committed")
		if diff := cmp.Diff(want, p.must(append([]string{"run", "--rm", "committed"}, show...)...)); diff != "" {
			t.Errorf("committed: %s", diff)
		}
		p.must("export", "-o", "work.tar", "work")
		p.must("import", "work.tar", "imported")
		if diff := cmp.Diff(want, p.must(append([]string{"run", "--rm", "imported"}, show...)...)); diff != "" {
			t.Errorf("exported and imported: %s", diff)
		}
		if diff := cmp.Diff("A /of\nA /of/alice\nA /of/root", p.must("diff", "work")); diff != "" {
			t.Errorf("diff: %s", diff)
		}
		p.must("rm", "work")
	})
}

// A container that runs is read whole, and no path is too long for what its
// monitor is asked.
func TestCommitRunning(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		p := newPerson(t)
		p.env = append(p.env, "CFS_ROOT="+filepath.Join(p.dir, strings.Repeat("a-long-name/", 12), "store"))
		tarBusybox(t, filepath.Join(p.dir, "box.tar"))
		p.must("import", "box.tar", "box")
		for _, flag := range []string{"--rm=false", "--rm"} {
			cmd := p.command("run", "--name", "live", flag, "box", "sh", "-c", "umask 077; echo r > /ready; while :; do sleep 1; done")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for out := ""; out != "A /ready"; out, _ = p.cfs("diff", "live") {
				time.Sleep(10 * time.Millisecond)
			}
			p.must("commit", "live", "committed")
			p.must("export", "-o", "live.tar", "live")
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 128+15 {
				t.Errorf("the container ended with %v", cmd.ProcessState)
			}
			if got := p.must("run", "--rm", "committed", "cat", "/ready"); got != "r" {
				t.Errorf("/ready holds %q", got)
			}
			if flag != "--rm" {
				p.must("rm", "live")
			}
		}
		if left := p.must("ps", "-a", "-q"); left != "" {
			t.Errorf("containers are left: %s", left)
		}
	})
}
