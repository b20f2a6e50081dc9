package buildcontext

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cfs-project/cfs/layerpack"
)

// names are those that a source shows, as COPY . does.
func names(t testing.TB, s *Source) []string {
	t.Helper()
	got, err := run(t, Copy{From: s, Paths: []string{"."}, Dest: "/"}, SelectOptions{}, "")
	must(t, err)
	for i := range got {
		got[i] = strings.TrimPrefix(got[i], "A /")
	}
	return got
}

func TestOpenDirectory(t *testing.T) {
	for _, tc := range []struct {
		name       string
		tree       []string
		file       string // -f
		text, said string // the Dockerfile's, and its name
		names      []string
		err        string
	}{
		{"Dockerfile", []string{"f Dockerfile 644 D", "f a 644 a"}, "", "D", "Dockerfile", []string{"Dockerfile f644 =D", "a f644 =a"}, ""},
		{"dockerfile", []string{"f dockerfile 644 d"}, "", "d", "dockerfile", []string{"dockerfile f644 =d"}, ""},
		{"none", []string{"f a 644 a"}, "", "", "", nil, "unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat CTX/Dockerfile: no such file or directory"},
		{"-f inside", []string{"f sub/D.x 644 x"}, "CTX/sub/D.x", "x", "sub/D.x", []string{"sub d755", "sub/D.x f644 =x"}, ""},
		{"-f relative to the context", []string{"f sub/D.x 644 x"}, "sub/D.x", "x", "sub/D.x", []string{"sub d755", "sub/D.x f644 =x"}, ""},
		{"-f outside", []string{"f a 644 a"}, "CTX/../D.out", "out", "CTX/../D.out", []string{"a f644 =a"}, ""},
		{"-f of nothing", []string{"f a 644 a"}, "nosuch", "", "", nil, "no such file or directory"},
		{".dockerignore", []string{"f Dockerfile 644 D", "f a.o 644 a", "f b/c.o 644 c", "f b/d 644 d", "f .dockerignore 644 **/*.o\n.dockerignore\nDocker*\n"},
			"", "D", "Dockerfile", []string{"b d755", "b/d f644 =d"}, ""},
		{"one of its own", []string{"f D.x 644 x", "f D.x.dockerignore 644 *\n!a\n", "f .dockerignore 644 a\n", "f a 644 a", "f b 644 b"},
			"D.x", "x", "D.x", []string{"a f644 =a"}, ""},
		{"a bad one", []string{"f Dockerfile 644 D", "f .dockerignore 644 a[\n"}, "", "", "", nil, `failed parsing .dockerignore: pattern "a[": syntax error in pattern`},
		{"links out of it", []string{"l Dockerfile ../D.out", "f a 644 a"}, "", "", "", nil, "no such file or directory"},
		{"an ignored directory with an exception", []string{"f Dockerfile 644 D", "f n/a/x 644 x", "f n/b/y 644 y", "f m/z 644 z", "f .dockerignore 644 .docker*\nDocker*\nn\nm\n!n/b/y\n"},
			"", "D", "Dockerfile", []string{"n d755", "n/b d755", "n/b/y f644 =y"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			top := t.TempDir()
			dir := makeTree(t, filepath.Join(top, "ctx"), tc.tree...)
			must(t, os.WriteFile(filepath.Join(top, "D.out"), []byte("out"), 0o644))
			put := func(s string) string { return strings.ReplaceAll(s, "CTX", dir) }
			c, err := Open(context.Background(), dir, Options{Dockerfile: put(tc.file)})
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), put(tc.err)) {
					t.Fatalf("error %v, want %s", err, put(tc.err))
				}
				return
			}
			must(t, err)
			defer c.Close()
			if string(c.Dockerfile) != tc.text || c.DockerfileName != put(tc.said) {
				t.Errorf("the Dockerfile is %s, %q", c.DockerfileName, c.Dockerfile)
			}
			if d := cmp.Diff(tc.names, names(t, c.Source)); d != "" {
				t.Error(d)
			}
			host, ok := c.HostDir("/")
			if ok != (c.Ignore == nil) || ok && host != dir {
				t.Errorf("on the host it is %q, %t", host, ok)
			}
		})
	}
}

// expectContext fails the test unless c is of that Dockerfile and those names, or err says what
// wrong does; nothing is left in temp when it is closed.
func expectContext(t *testing.T, c *Context, err error, text string, want []string, wrong, temp string) {
	t.Helper()
	var got []string
	if err == nil {
		if string(c.Dockerfile) != text {
			t.Errorf("the Dockerfile is %q", c.Dockerfile)
		}
		got = names(t, c.Source)
		must(t, c.Close())
	}
	expect(t, got, err, want, wrong)
	if left, _ := os.ReadDir(temp); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

func TestOpenStdin(t *testing.T) {
	tarball := makeTar(t, "d ./", "f ./Dockerfile 0 D", "f ./a 0 a", "f other 0 o", "f .dockerignore 0 a\n")
	for _, tc := range []struct {
		name, file, text string
		in               []byte
		names            []string
		err              string
	}{
		{"a tar", "", "D", tarball, []string{".dockerignore f640 =a\n", "Dockerfile f640 =D", "other f640 =o"}, ""},
		{"a compressed tar", "", "D", packTo(t, tarball, layerpack.Zstd), []string{".dockerignore f640 =a\n", "Dockerfile f640 =D", "other f640 =o"}, ""},
		{"another Dockerfile of it", "other", "o", tarball, []string{".dockerignore f640 =a\n", "Dockerfile f640 =D", "other f640 =o"}, ""},
		{"a tar without one", "", "", makeTar(t, "f a 0 a"), nil, "lstat Dockerfile: no such file or directory"},
		{"a Dockerfile", "", "FROM x\n", []byte("FROM x\n"), nil, ""},
		{"nothing", "", "", nil, nil, ""},
		{"twice", "-", "", nil, nil, "invalid argument: can't use stdin for both build context and dockerfile"},
		{"a damaged tar", "", "", packTo(t, tarball, layerpack.Gzip)[:40], nil, "unexpected EOF"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			temp := t.TempDir()
			c, err := Open(context.Background(), "-", Options{Stdin: bytes.NewReader(tc.in), Dockerfile: tc.file, Temp: temp})
			expectContext(t, c, err, tc.text, tc.names, tc.err, temp)
		})
	}
	dir := makeTree(t, t.TempDir(), "f a 644 a")
	c, err := Open(context.Background(), dir, Options{Stdin: strings.NewReader("FROM y\n"), Dockerfile: "-"})
	must(t, err)
	defer c.Close()
	if string(c.Dockerfile) != "FROM y\n" {
		t.Errorf("the Dockerfile from stdin is %q", c.Dockerfile)
	}
	none := filepath.Join(dir, "none")
	if _, err := Open(context.Background(), none, Options{}); err == nil || err.Error() != `unable to prepare context: path "`+none+`" not found` {
		t.Errorf("error %v", err)
	}
}

// repository is one with two commits, a tag and a branch, served as files are; it returns its URL
// and its first commit.
func repository(t testing.TB) (url, commit string) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("SKIPPED: needs the program git")
	}
	top := t.TempDir()
	dir := makeTree(t, filepath.Join(top, "work"), "f Dockerfile 644 one", "f run.sh 777 #!", "f sub/Dockerfile 600 sub", "f sub/s 644 s", "l out /etc")
	git := func(args ...string) string {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_DATE=@1000000000 +0000", "GIT_COMMITTER_DATE=@1000000000 +0000")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q", "-b", "main")
	git("config", "user.name", "n")
	git("config", "user.email", "e")
	git("add", ".")
	git("commit", "-q", "-m", "1")
	git("tag", "v1")
	commit = git("rev-parse", "HEAD")
	git("checkout", "-q", "-b", "side")
	must(t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("two"), 0o644))
	git("commit", "-q", "-a", "-m", "2")
	git("checkout", "-q", "main")
	git("clone", "-q", "--bare", dir, filepath.Join(top, "module.git"))
	git("-C", filepath.Join(top, "module.git"), "update-server-info")
	git("checkout", "-q", "-b", "modular")
	git("rm", "-q", "-r", "sub", "out", "run.sh")
	git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", filepath.Join(top, "module.git"), "m")
	git("config", "-f", ".gitmodules", "submodule.m.url", "../module.git")
	git("commit", "-q", "-a", "-m", "3")
	git("checkout", "-q", "main")
	git("clone", "-q", "--bare", dir, filepath.Join(top, "r.git"))
	git("-C", filepath.Join(top, "r.git"), "update-server-info")
	server := httptest.NewServer(http.FileServer(http.Dir(top)))
	t.Cleanup(server.Close)
	return server.URL + "/r.git", commit
}

func TestOpenGit(t *testing.T) {
	url, commit := repository(t)
	t.Setenv("GIT_DIR", "/elsewhere") // as whoever calls from a hook has it
	all := func(text string) []string {
		return []string{"Dockerfile f644 =" + text, "out l777 ->/etc", "run.sh f755 =#!", "sub d755", "sub/Dockerfile f644 =sub", "sub/s f644 =s"}
	}
	for _, tc := range []struct {
		suffix, text string
		names        []string
		err          string
	}{
		{"", "one", all("one"), ""},
		{"#side", "two", all("two"), ""},
		{"#v1", "one", all("one"), ""},
		{"#" + commit, "one", all("one"), ""},
		{"#" + commit[:8], "one", all("one"), ""},
		{"#:sub", "sub", []string{"Dockerfile f644 =sub", "s f644 =s"}, ""},
		{"#side:sub", "sub", []string{"Dockerfile f644 =sub", "s f644 =s"}, ""},
		{"?branch=side", "two", all("two"), ""},
		{"?tag=v1&subdir=sub", "sub", []string{"Dockerfile f644 =sub", "s f644 =s"}, ""},
		{"?ref=side&checksum=" + commit, "", nil, "expected checksum to match"},
		{"?checksum=" + commit[:10], "one", all("one"), ""},
		{"#modular:m/sub", "sub", []string{"Dockerfile f644 =sub", "s f644 =s"}, ""},
		{"?branch=modular&submodules=false&subdir=m", "", nil, "lstat Dockerfile: no such file or directory"},
		{"#nosuch", "", nil, "couldn't find remote ref nosuch"},
		{"#:nosuch", "", nil, "subdir: stat nosuch: file does not exist"},
		{"#:out", "", nil, "subdir: stat out: file does not exist"},
	} {
		t.Run(tc.suffix, func(t *testing.T) {
			temp := t.TempDir()
			c, err := Open(context.Background(), url+tc.suffix, Options{Temp: temp})
			expectContext(t, c, err, tc.text, tc.names, tc.err, temp)
		})
	}
	t.Run("a password", func(t *testing.T) {
		_, err := Open(context.Background(), strings.Replace(url, "://", "://me:passphrase@", 1)+"#nosuch", Options{Temp: t.TempDir()})
		if err == nil || strings.Contains(err.Error(), "passphrase") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("with .git", func(t *testing.T) {
		for suffix, want := range map[string]bool{"": true, "?keep-git-dir=false": false} {
			c, err := Open(context.Background(), url+suffix, Options{Temp: t.TempDir(), KeepGit: true})
			must(t, err)
			if got := strings.Contains(strings.Join(names(t, c.Source), "\n"), ".git/HEAD f644"); got != want {
				t.Errorf("%s: there is a .git: %v", suffix, got)
			}
			must(t, c.Close())
		}
	})
	t.Run("mtime=commit", func(t *testing.T) {
		c, err := Open(context.Background(), url+"?mtime=commit", Options{Temp: t.TempDir()})
		must(t, err)
		defer c.Close()
		sel, err := Copy{From: c.Source, Paths: []string{"run.sh"}, Dest: "/"}.Select(context.Background(), SelectOptions{})
		must(t, err)
		defer sel.Close()
		for e, err := range sel.Entries(context.Background(), nil) {
			must(t, err)
			if e.Attr.Mtime != 1_000_000_000 {
				t.Errorf("%s has the time %d", e.Path, e.Attr.Mtime)
			}
		}
	})
}

func TestAddRemote(t *testing.T) {
	url, commit := repository(t)
	tarball := makeTar(t, "f a 0 a")
	gets := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gets++
		switch r.URL.Path {
		case "/file.txt", "/":
			w.Header().Set("Last-Modified", "Sun, 09 Sep 2001 01:46:40 GMT")
			w.Write([]byte("text"))
		case "/a.tar":
			w.Write(tarball)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	const sum = "sha256:982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1" // of "text"
	unpack, keep := true, true
	for _, tc := range []struct {
		name string
		c    Copy
		want []string
		err  string
	}{
		{"a URL into a directory", Copy{Paths: []string{server.URL + "/file.txt?x=y"}, Dest: "/d/"}, []string{"A /d d755", "A /d/file.txt f600 =text"}, ""},
		{"a URL onto a name", Copy{Paths: []string{server.URL + "/file.txt"}, Dest: "/n", Chown: "1:2", Chmod: "644"}, []string{"A /n f644 1:2 =text"}, ""},
		{"a URL without a name onto one", Copy{Paths: []string{server.URL}, Dest: "/n"}, []string{"A /n f600 =text"}, ""},
		{"a URL without a name", Copy{Paths: []string{server.URL}, Dest: "/n/"}, nil, "cannot determine filename from url: " + server.URL},
		{"what isn't there", Copy{Paths: []string{server.URL + "/x"}, Dest: "/n"}, nil, "failed to GET " + server.URL + "/x with status 404 Not Found"},
		{"a checksum", Copy{Paths: []string{server.URL + "/file.txt"}, Dest: "/n", Checksum: sum}, []string{"A /n f600 =text"}, ""},
		{"another checksum", Copy{Paths: []string{server.URL + "/a.tar"}, Dest: "/n", Checksum: sum}, nil, "digest mismatch"},
		{"a bad checksum", Copy{Paths: []string{server.URL + "/file.txt"}, Dest: "/n", Checksum: "sha256:12"}, nil, `invalid checksum "sha256:12"`},
		{"a checksum of several", Copy{Paths: []string{server.URL + "/file.txt", "x"}, Dest: "/n", Checksum: sum}, nil, "checksum can't be specified for multiple sources"},
		{"an archive is not unpacked", Copy{Paths: []string{server.URL + "/a.tar"}, Dest: "/n"}, []string{"A /n f600 =" + string(tarball)}, ""},
		{"but by --unpack", Copy{Paths: []string{server.URL + "/a.tar"}, Dest: "/n", Unpack: &unpack}, []string{"A /n d755", "A /n/a f640 5:6 =a"}, ""},
		{"a repository", Copy{Paths: []string{url + "#v1:sub"}, Dest: "/n", Chown: "3"},
			[]string{"A /n d755 3:3", "A /n/Dockerfile f644 3:3 =sub", "A /n/s f644 3:3 =s"}, ""},
		{"a repository's commit", Copy{Paths: []string{url + "#v1:sub"}, Dest: "/n", Checksum: commit},
			[]string{"A /n d755", "A /n/Dockerfile f644 =sub", "A /n/s f644 =s"}, ""},
		{"another commit", Copy{Paths: []string{url + "#side"}, Dest: "/n", Checksum: commit}, nil, "expected checksum to match"},
		{"--exclude", Copy{Paths: []string{url}, Dest: "/n", Exclude: []string{"*", "!out"}}, []string{"A /n d755", "A /n/out l777 ->/etc"}, ""},
		{"commits that don't agree", Copy{Paths: []string{url + "?checksum=12"}, Dest: "/n", Checksum: "34"}, nil, `checksum mismatch "34" != "12"`},
		{"--keep-git-dir that doesn't", Copy{Paths: []string{url + "?keep-git-dir=false"}, Dest: "/n", KeepGit: &keep}, nil, "inconsistent keep-git-dir configuration"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.c.Add = true
			got, err := run(t, tc.c, SelectOptions{Time: past}, "")
			expect(t, got, err, tc.want, tc.err)
		})
	}
	t.Run("--keep-git-dir", func(t *testing.T) {
		got, err := run(t, Copy{Add: true, Paths: []string{url}, Dest: "/n", KeepGit: &keep}, SelectOptions{}, "")
		must(t, err)
		if !strings.Contains(strings.Join(got, "\n"), "A /n/.git/HEAD f644 =") {
			t.Errorf("%q", got)
		}
	})
	t.Run("what a checksum tells is not fetched for a digest", func(t *testing.T) {
		before := gets
		a := digestOf(t, Copy{Add: true, Paths: []string{server.URL + "/file.txt"}, Dest: "/n", Checksum: sum}, nil)
		b := digestOf(t, Copy{Add: true, Paths: []string{"http://127.0.0.1:1/gone.git#x"}, Dest: "/n", Checksum: commit}, nil)
		if gets != before || a == b {
			t.Errorf("%d fetched; %s and %s", gets-before, a, b)
		}
	})
	t.Run("the time of a URL", func(t *testing.T) {
		sel, err := Copy{Add: true, Paths: []string{server.URL + "/file.txt"}, Dest: "/n"}.Select(context.Background(), SelectOptions{Temp: t.TempDir(), Time: time.Unix(5, 0)})
		must(t, err)
		defer sel.Close()
		for e, err := range sel.Entries(context.Background(), nil) {
			must(t, err)
			if e.Attr.Mtime != past.Unix() {
				t.Errorf("%d", e.Attr.Mtime)
			}
		}
	})
}

func TestOpenURL(t *testing.T) {
	tarball := makeTar(t, "f Dockerfile 0 D", "f a 0 a")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/c.tgz" {
			w.Write(packTo(t, tarball, layerpack.Gzip))
			return
		}
		w.Write([]byte("FROM url\n"))
	}))
	defer server.Close()
	for path, want := range map[string]string{"/c.tgz": "D", "/Dockerfile": "FROM url\n"} {
		c, err := Open(context.Background(), server.URL+path, Options{Temp: t.TempDir()})
		must(t, err)
		if string(c.Dockerfile) != want {
			t.Errorf("%s: %q", path, c.Dockerfile)
		}
		must(t, c.Close())
	}
	s, err := OpenNamed(context.Background(), "x", server.URL+"/c.tgz", Options{Temp: t.TempDir()})
	must(t, err)
	defer s.Close()
	if d := cmp.Diff([]string{"Dockerfile f640 =D", "a f640 =a"}, names(t, s)); d != "" {
		t.Error(d)
	}
}

func TestOpenNamed(t *testing.T) {
	dir := makeTree(t, t.TempDir(), "f a 644 a", "f b 644 b", "f .dockerignore 644 b\n.docker*\n")
	s, err := OpenNamed(context.Background(), "x", dir, Options{})
	must(t, err)
	defer s.Close()
	if d := cmp.Diff([]string{"a f644 =a"}, names(t, s)); d != "" {
		t.Error(d)
	}
	none := filepath.Join(dir, "none")
	for value, want := range map[string]string{
		none: `build context x: path "` + none + `" not found`, "target:base": `path "target:base" not found`, "ftp://x/y": "unsupported context source ftp://x/y",
	} {
		if _, err := OpenNamed(context.Background(), "x", value, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", value, err, want)
		}
	}
	for value, want := range map[string][2]string{
		"docker-image://alpine:3": {"docker-image", "alpine:3"}, "oci-layout://./x@sha256:1": {"oci-layout", "./x@sha256:1"}, "https://x": {}, "./dir": {},
	} {
		scheme, rest, ok := ImageOf(value)
		if scheme != want[0] || rest != want[1] || ok != (want[0] != "") {
			t.Errorf("%s: %q, %q, %t", value, scheme, rest, ok)
		}
	}
}
