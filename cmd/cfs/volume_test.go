package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cfs-project/cfs/internal/testenv"
)

// TestVolumeOwners fills a volume with files of several owners, and removes them again,
// as everybody who may have such files.
func TestVolumeOwners(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		p := newPerson(t)
		tarBusybox(t, filepath.Join(p.dir, "box.tar"))
		p.must("import", "box.tar", "box")
		p.must("run", "--name", "seed", "box", "sh", "-c", "mkdir /seed; echo x > /seed/own; echo y > /seed/other; chown 33:44 /seed/other /seed; chmod 2711 /seed")
		p.must("commit", "seed", "seeded")
		p.must("rm", "seed")
		want := "2711 33:44\n640 33:44\nx"
		if who == testenv.Single { // chown has no meaning there
			want = "2711 0:0\n640 0:0\nx"
		}
		const look = "chmod 640 /seed/other; stat -c '%a %u:%g' /seed /seed/other; cat /seed/own"
		if got := p.must("run", "--rm", "-v", "vol:/seed", "seeded", "sh", "-c", look); got != want {
			t.Errorf("first:\n%s\nwant:\n%s", got, want)
		}
		if got := p.must("run", "--rm", "-v", "vol:/seed", "box", "sh", "-c", look); got != want {
			t.Errorf("later:\n%s\nwant:\n%s", got, want)
		}
		p.must("run", "--rm", "-v", "vol:/seed", "box", "sh", "-c", "mkdir -m 700 /seed/mine; touch /seed/mine/x; chown -R 55 /seed/mine")
		if got := p.must("system", "df", "--format", "{{.Type}} {{.Size}}"); !strings.Contains(got, "Local Volumes 4B") {
			t.Error(got)
		}
		p.must("volume", "rm", "vol")
		left, err := os.ReadDir(filepath.Join(p.dir, "store/volumes"))
		if err != nil || len(left) > 0 {
			t.Errorf("left: %v %v", left, err)
		}
	})
}

// TestFillKilled kills everything that fills a volume with kill -9, sooner and later: who
// has the volume next finds all of it.
func TestFillKilled(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, _ testenv.User) {
		p := newPerson(t)
		tarBusybox(t, filepath.Join(p.dir, "box.tar"))
		p.must("import", "box.tar", "box")
		p.must("run", "--name", "seed", "box", "sh", "-c", "mkdir /seed; for i in $(seq 200); do mkdir /seed/$i; echo $i > /seed/$i/f; done")
		p.must("commit", "seed", "seeded")
		for after := time.Duration(0); after < 120*time.Millisecond; after += 8 * time.Millisecond {
			cmd := p.command("run", "--rm", "-v", "vol:/seed", "seeded", "true")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(after)
			_ = cmd.Process.Signal(syscall.SIGKILL)
			for _, name := range []string{"cfs-monitor", "cfs-fill"} {
				if _, err := killHolders(p.dir, name); err != nil {
					t.Fatal(err)
				}
			}
			_ = cmd.Wait()
			const count = "cd /seed; ls | wc -l; cat */f | wc -l"
			if got := p.must("run", "--rm", "--network", "none", "-v", "vol:/seed", "seeded", "sh", "-c", count); got != "200\n200" {
				t.Errorf("killed after %v: %q", after, got)
			}
			// The one that was killed still has it, until it is dead and swept.
			for end := time.Now().Add(20 * time.Second); p.command("volume", "rm", "vol").Run() != nil; {
				if time.Now().After(end) {
					t.Fatal("the volume stays in use")
				}
				p.must("run", "--rm", "seeded", "true")
			}
		}
	})
}
