package torture

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/treediff"
)

// TestApplications lets programs that are particular about their files work on a
// union whose lower has the files, and asks them, and treediff, whether all is well,
// also after a remount and, where it can be asked, on the kernel's overlayfs.
func TestApplications(t *testing.T) {
	needMount(t)
	t.Parallel()
	for _, a := range []struct {
		name string
		fn   func(t *testing.T, kind, transport string)
	}{{"sqlite", sqlite}, {"git", git}, {"tar", tarTrip}, {"rsync", rsyncTrip}} {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			both(t, a.fn)
		})
	}
	t.Run("go", func(t *testing.T) {
		t.Parallel()
		goBuild(t, "dirs", "loop")
	})
	t.Run("dpkg", func(t *testing.T) {
		t.Parallel()
		dpkg(t)
	})
}

// sh runs a shell script in dir; nothing it needs comes from a person's settings.
func sh(t testing.TB, dir, script string, env ...string) string {
	t.Helper()
	out, err := shell(dir, script, env...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

func shell(dir, script string, env ...string) (string, error) {
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/dev/null", "LC_ALL=C", "TZ=UTC"}, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

const (
	sqliteWriters = 4
	sqliteRows    = 25
)

// sqlite has a database in the lower that several processes write to at once, in
// WAL mode (whose index is a shared mapping) and with a rollback journal.
func sqlite(t *testing.T, kind, transport string) {
	need(t, "sqlite3")
	journals := []string{"wal", "delete"}
	u := handmade(t, kind, "ext4", 1, func(b *builder) {
		for _, j := range journals {
			b.do("db", func(p string) error { return os.MkdirAll(p, 0o755) })
			db := b.layer + "/db/" + j
			sh(t, "/", `sqlite3 $DB "PRAGMA journal_mode=$J; CREATE TABLE r(w INTEGER, i INTEGER, x BLOB, PRIMARY KEY(w, i));
				INSERT INTO r WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i < 399) SELECT -1, i, randomblob(400) FROM n;"`, "DB="+db, "J="+j)
			run(t, "cp", "-a", db, b.plain+"/db")
		}
	})
	u.spec.Transport = transport
	u.everywhere(func(root string) {
		var wg sync.WaitGroup
		errs := make([]string, len(journals)*sqliteWriters)
		for k := range errs {
			wg.Go(func() {
				w := k / len(journals)
				var script strings.Builder
				script.WriteString(".timeout 60000\n")
				for i := range sqliteRows {
					fmt.Fprintf(&script, "BEGIN IMMEDIATE;\nINSERT INTO r VALUES(%d, %d, randomblob(%d));\nUPDATE r SET x = randomblob(300) WHERE w = -1 AND i = %d;\nCOMMIT;\n", w, i, 100+40*i, w*sqliteRows+i)
				}
				cmd := exec.Command("sqlite3", "-bail", root+"/db/"+journals[k%len(journals)])
				cmd.Stdin = strings.NewReader(script.String())
				if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
					errs[k] = fmt.Sprintf("writer %d: %v\n%s", k, err, out)
				}
			})
		}
		wg.Wait()
		for _, e := range errs {
			if e != "" {
				t.Error(e)
			}
		}
	}, func(root string) {
		for _, j := range journals {
			// Of the view of the kernel, which can only be read, a copy is asked.
			dir := t.TempDir()
			run(t, "cp", "-a", root+"/db", dir)
			for _, db := range []string{root + "/db/" + j, dir + "/db/" + j} {
				if strings.HasSuffix(root, "/kernel") && strings.HasPrefix(db, root) {
					continue
				}
				got := run(t, "sqlite3", db, "PRAGMA integrity_check; SELECT w, count(*), sum(i) FROM r GROUP BY w ORDER BY w; PRAGMA journal_mode;")
				want := "ok\n-1|400|79800\n"
				for w := range sqliteWriters {
					want += fmt.Sprintf("%d|%d|%d\n", w, sqliteRows, sqliteRows*(sqliteRows-1)/2)
				}
				if got != want+j+"\n" {
					t.Errorf("%s: got\n%s", db, got)
				}
			}
		}
	})
}

const gitEnv = "GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=*"

// git works in a repository of the lower, and clones it.
func git(t *testing.T, kind, transport string) {
	need(t, "git")
	env := strings.Fields(gitEnv)
	u := handmade(t, kind, "ext4", 2, func(b *builder) {
		b.do("repo", func(p string) error { return os.Mkdir(p, 0o755) })
		sh(t, b.layer+"/repo", `git init -q -b main .
			for d in a b c; do mkdir -p $d/e; for i in $(seq 30); do seq $i $((i * 40)) > $d/e/$i; done; done
			head -c 300000 /dev/urandom > large; ln -s a/e link
			git add . ; git commit -qm one; git tag -a -m t v1; git gc -q; echo two > two; git add . ; git commit -qm two`, env...)
		run(t, "cp", "-a", b.layer+"/repo/.", b.plain+"/repo")
	})
	u.spec.Transport = transport
	head := map[string]string{}
	u.everywhere(func(root string) {
		sh(t, root, `cd repo; git status --porcelain | grep . && exit 1
			git checkout -q -b side; git mv a moved; sed -i s/1/x/ b/e/*; printf y | dd of=large bs=1 seek=150000 conv=notrunc status=none
			git commit -qam three; git checkout -q main; rm -r c; git commit -qam four; git merge -q -m merged side; git rebase -q v1^{commit} side
			git gc -q --aggressive --prune=now; git fsck --full --strict; git checkout -q main; cd ..
			git clone -q repo clone; git clone -q --no-hardlinks repo clone2; cd clone; git checkout -q -b more; echo 1 > more; git add .; git commit -qm more; git push -q origin more; git gc -q; git repack -qad; git fsck --full`, env...)
		for _, r := range []string{"repo", "clone", "clone2"} {
			head[r] = sh(t, root+"/"+r, "git rev-parse HEAD", env...)
		}
	}, func(root string) {
		for _, r := range []string{"repo", "clone", "clone2"} {
			dir := root + "/" + r
			if strings.HasSuffix(root, "/kernel") { // it can only be read
				dir = t.TempDir() + "/" + r
				run(t, "cp", "-a", root+"/"+r, dir)
			}
			out := sh(t, dir, "git fsck --full --strict 2>&1 | grep -v dangling || true; git status --porcelain; git rev-parse HEAD", env...)
			if out != head[r] {
				t.Errorf("%s: %s", r, out)
			}
		}
	})
}

// odd makes a tree with everything that tar and rsync know to copy.
func odd(t testing.TB, dir string) {
	t.Helper()
	sh(t, dir, `mkdir -p t/d/e t/acl; cd t
		seq 20000 > d/text; head -c 200000 /dev/urandom > d/large; ln d/large d/e/large2; ln d/large large3; ln -s d/text link; ln link link2
		truncate -s 3M sparse; printf middle | dd of=sparse bs=1 seek=1500000 conv=notrunc status=none
		mkfifo fifo; mknod null c 1 3; mknod disk b 8 1; : > empty; ln empty d/empty2
		setfattr -n user.note -v hello d/text; setfattr -n user.note -v dir d; setfattr -n trusted.note -v 0x00ff large3
		setfacl -m u:1234:rwx,g:55:r acl; setfacl -d -m u:99:r,o::- acl; : > acl/inherits; setfacl -m u:7:r d/text
		chown 1000:50 d d/large; chown -h 12:13 link; chmod 4755 empty; chmod 1777 d/e; chmod 0 sparse; setcap cap_net_raw+ep d/large
		touch -hd '2001-02-03 04:05:06.789012345' link sparse fifo d/text d/large d/e d`)
}

// roundTrip has a program copy a tree of the lower within the union, out of it
// and into it, and what came of it back out.
func roundTrip(t *testing.T, kind, transport string, copy string) {
	need(t, "tar", "rsync", "setfattr", "setfacl", "setcap")
	u := handmade(t, kind, "ext4", 3, func(b *builder) {
		odd(t, b.layer)
		run(t, "cp", "-a", b.layer+"/t", b.plain+"/t")
	})
	u.spec.Transport = transport
	out := u.dir + "/out"
	mkdirs(t, out)
	env := []string{"FROM=" + u.dir + "/layer0/t"}
	u.everywhere(func(root string) {
		sh(t, root, "copy() { "+copy+`; }
			copy t "$OUT/a"; copy "$FROM" in; copy t within; copy "$OUT/a" t/again; copy t/again "$OUT/b"; copy in within/twice; copy within/twice "$OUT/c"`, append(env, "OUT="+out)...)
	}, func(root string) {
		want := record(t, u.dir+"/layer0/t")
		for _, dir := range []string{out + "/a", root + "/in", out + "/b", root + "/t/again", root + "/within/twice", out + "/c"} {
			// The directory itself gets more names in it.
			if ds := treediff.Compare(want, record(t, dir), treediff.Ignore{DirSize: true, DirNlink: true}); len(ds) > 0 {
				t.Errorf("%s:\n%s", dir, treediff.Format(ds, 20))
			}
		}
		for _, p := range []string{root + "/in/sparse", out + "/b/sparse"} {
			var st unix.Stat_t
			must(t, unix.Stat(p, &st))
			if st.Blocks > 200 {
				t.Errorf("%s: %d blocks, the holes are filled", p, st.Blocks)
			}
		}
	})
}

func tarTrip(t *testing.T, kind, transport string) {
	roundTrip(t, kind, transport, `mkdir -p "$2"; tar --sparse --acls --xattrs --xattrs-include='*' --numeric-owner --format=pax -C "$1" -cf - . | tar --acls --xattrs --xattrs-include='*' --numeric-owner -C "$2" -xpf -`)
}

func rsyncTrip(t *testing.T, kind, transport string) {
	roundTrip(t, kind, transport, `rsync -aHAXS --numeric-ids "$1/" "$2"`)
}

// goBuild builds a program, with the compiler's cache in the union; the lower has
// the module.
func goBuild(t *testing.T, kind, transport string) {
	need(t, "go")
	u := handmade(t, kind, "ext4", 4, func(b *builder) {
		b.do("m", func(p string) error { return os.MkdirAll(p+"/greet", 0o755) })
		for name, text := range map[string]string{
			"go.mod":         "module example.org/m\n\ngo 1.21\n",
			"main.go":        "package main\n\nimport \"example.org/m/greet\"\n\nfunc main() { println(greet.Text()) }\n",
			"greet/greet.go": "package greet\n\nfunc Text() string { return \"one\" }\n",
		} {
			b.do("m/"+name, func(p string) error { return os.WriteFile(p, []byte(text), 0o644) })
		}
	})
	u.spec.Transport = transport
	want := "one\n"
	build := func(root string) string {
		return sh(t, root+"/m", "go build -x -o m . 2>&1 | grep -c /compile || true", "GOCACHE="+root+"/cache", "GOFLAGS=-mod=mod", "GOPROXY=off",
			"GOTOOLCHAIN=local", "GOENV=off", "CGO_ENABLED=0", "GOTMPDIR="+root, "GOPATH="+root+"/gopath")
	}
	u.everywhere(func(root string) {
		if n := strings.TrimSpace(build(root)); n == "0" {
			t.Error("nothing was compiled")
		}
		if n := strings.TrimSpace(build(root)); n != "0" {
			t.Errorf("%s packages were compiled again", n)
		}
		must(t, os.WriteFile(root+"/m/greet/greet.go", []byte("package greet\n\nfunc Text() string { return \"two\" }\n"), 0o644))
		want = "two\n"
		if n := strings.TrimSpace(build(root)); n != "2" {
			t.Errorf("%s packages were compiled, want the 2 that changed", n)
		}
	}, func(root string) {
		if out := run(t, root+"/m/m"); out != want {
			t.Errorf("the program says %q", out)
		}
		if !strings.HasSuffix(root, "/kernel") {
			if n := strings.TrimSpace(build(root)); n != "0" {
				t.Errorf("%s packages were compiled again after a remount", n)
			}
		}
		left, err := os.ReadFile(root + "/m/go.mod")
		must(t, err)
		if !bytes.HasPrefix(left, []byte("module example.org/m\n")) {
			t.Errorf("go.mod: %q", left)
		}
	})
}
