package authfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cfs-project/cfs/imagecmd/remote/auth"
)

// files are those of a user whose directories are all empty.
func files(t *testing.T) (*Files, string) {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("DOCKER_CONFIG", "")
	t.Setenv("REGISTRY_AUTH_FILE", "")
	t.Setenv("XDG_RUNTIME_DIR", filepath.Join(home, "run"))
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(home, "config"))
	return find(t), home
}

func find(t *testing.T) *Files {
	t.Helper()
	f, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, f *Files, host, repository string) string {
	t.Helper()
	c, err := f.Get(context.Background(), host, repository)
	if err != nil {
		t.Fatal(err)
	}
	if c.RefreshToken != "" {
		return "token " + c.RefreshToken
	}
	return c.Username + ":" + c.Password
}

var alice = auth.Credential{Username: "alice", Password: "se:cret"}

// The file is Docker's, byte for byte.
func TestPutLikeDocker(t *testing.T) {
	ctx := context.Background()
	f, home := files(t)
	saved, err := f.Put(ctx, "127.0.0.1:5001", auth.Credential{Username: "alice", Password: "secret"})
	if err != nil || !saved.Plain || saved.Path != filepath.Join(home, ".docker", "config.json") {
		t.Fatalf("%+v, %v", saved, err)
	}
	got, _ := os.ReadFile(saved.Path)
	want := "{\n\t\"auths\": {\n\t\t\"127.0.0.1:5001\": {\n\t\t\t\"auth\": \"YWxpY2U6c2VjcmV0\"\n\t\t}\n\t}\n}"
	if string(got) != want {
		t.Errorf("wrote %s", got)
	}
	if fi, _ := os.Stat(saved.Path); fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", fi.Mode())
	}
	if got := get(t, f, "127.0.0.1:5001", "any/repo"); got != "alice:secret" {
		t.Errorf("got %q", got)
	}
	if err := f.Delete(ctx, "127.0.0.1:5001"); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(saved.Path); string(got) != "{\n\t\"auths\": {}\n}" {
		t.Errorf("after logout %s", got)
	}
}

func TestKeys(t *testing.T) {
	f, home := files(t)
	const a = `{"auth":"YTpB"}` // a:A
	const b = `{"auth":"YjpC"}` // b:B
	write(t, filepath.Join(home, ".docker", "config.json"), `{"auths":{"https://index.docker.io/v1/":`+a+`,
		"https://old.example.com/v1/":`+b+`, "token.example.com":{"identitytoken":"T"}, "user.example.com":{"username":"u","password":"p"}}}`)
	write(t, filepath.Join(home, "config", "containers", "auth.json"), `{"auths":{"docker.io":`+b+`,"quay.io":`+a+`,"quay.io/team":`+b+`}}`)
	for _, tc := range []struct{ host, repository, want string }{
		{"docker.io", "library/debian", "a:A"},
		{"registry-1.docker.io", "library/debian", "a:A"},
		{"old.example.com", "x", "b:B"},
		{"token.example.com", "", "token T"},
		{"user.example.com", "", "u:p"},
		{"quay.io", "teams/x", "a:A"},
		{"quay.io", "team/x/y", "b:B"},
		{"quay.io", "", "a:A"},
		{"nowhere.example.com", "x", ":"},
	} {
		if got := get(t, f, tc.host, tc.repository); got != tc.want {
			t.Errorf("%s/%s: %s", tc.host, tc.repository, got)
		}
	}
}

// Which file is written depends on which is there.
func TestWhere(t *testing.T) {
	ctx := context.Background()
	_, home := files(t)
	podman := filepath.Join(home, "run", "containers", "auth.json")
	write(t, podman, `{"auths":{}}`)
	f := find(t)
	if saved, err := f.Put(ctx, "docker.io", alice); err != nil || saved.Path != podman {
		t.Errorf("%+v, %v", saved, err)
	}
	if raw, _ := os.ReadFile(podman); !strings.Contains(string(raw), `"docker.io"`) {
		t.Errorf("podman's key of Docker Hub: %s", raw)
	}
	t.Setenv("DOCKER_CONFIG", filepath.Join(home, "d"))
	f = find(t)
	saved, err := f.Put(ctx, "docker.io", auth.Credential{Username: "bob", Password: "x"})
	if err != nil || saved.Path != filepath.Join(home, "d", "config.json") {
		t.Errorf("%+v, %v", saved, err)
	}
	if raw, _ := os.ReadFile(saved.Path); !strings.Contains(string(raw), `"https://index.docker.io/v1/"`) {
		t.Errorf("Docker's key of Docker Hub: %s", raw)
	}
	if got := get(t, f, "docker.io", ""); got != "bob:x" {
		t.Errorf("the first file counts: %s", got)
	}
	if err := f.Delete(ctx, "docker.io"); err != nil {
		t.Fatal(err)
	}
	if got := get(t, f, "docker.io", ""); got != ":" {
		t.Errorf("after logout: %s", got)
	}
	one := filepath.Join(home, "one.json")
	t.Setenv("REGISTRY_AUTH_FILE", one)
	if saved, err := find(t).Put(ctx, "x.example", alice); err != nil || saved.Path != one {
		t.Errorf("%+v, %v", saved, err)
	}
}

func TestExposed(t *testing.T) {
	f, home := files(t)
	path := filepath.Join(home, ".docker", "config.json")
	write(t, path, `{"HttpHeaders":{"X":"y"}}`)
	for _, mode := range []os.FileMode{0o644, 0o640, 0o604} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Put(context.Background(), "x.example", alice); !errors.Is(err, ErrExposed) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if raw, _ := os.ReadFile(path); strings.Contains(string(raw), "auths") {
		t.Errorf("wrote %s", raw)
	}
}

// What is not understood is kept, symlinks too, and of many at once all.
func TestChangesAreKept(t *testing.T) {
	f, home := files(t)
	path := filepath.Join(home, ".docker", "config.json")
	real := filepath.Join(home, "dotfiles.json")
	write(t, real, `{"psFormat":"{{.ID}}","plugins":{"a":{"b":1e400}},"auths":{"old":{"auth":"YTpB","email":"x"}}}`)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, path); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if _, err := f.Put(context.Background(), fmt.Sprintf("h%d.example", i), alice); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var c struct{ Auths map[string]any }
	if err := json.Unmarshal(raw, &c); err != nil || len(c.Auths) != 21 {
		t.Errorf("%d of 21 are kept: %v", len(c.Auths), err)
	}
	for _, part := range []string{`"psFormat": "{{.ID}}"`, `1e400`, `"email": "x"`} {
		if !strings.Contains(string(raw), part) {
			t.Errorf("%s is lost of %s", part, raw)
		}
	}
	if fi, _ := os.Lstat(path); fi.Mode()&os.ModeSymlink == 0 {
		t.Error("the symlink is a file now")
	}
	if left, _ := filepath.Glob(filepath.Join(home, ".*json*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Programs keep what the file says they keep.
func TestHelpers(t *testing.T) {
	ctx := context.Background()
	f, home := files(t)
	bin := filepath.Join(home, "bin")
	write(t, filepath.Join(bin, "docker-credential-test"), `#!/bin/sh
case $1 in
store) cat >"$HOME/secret" ;;
get) read -r host; test -s "$HOME/secret" || { echo "credentials not found in native keychain"; exit 1; }; cat "$HOME/secret" ;;
erase) rm "$HOME/secret" ;;
esac
`)
	if err := os.Chmod(filepath.Join(bin, "docker-credential-test"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	path := filepath.Join(home, ".docker", "config.json")
	for _, config := range []string{`{"credsStore":"test"}`, `{"credHelpers":{"x.example":"test"}}`} {
		write(t, path, config)
		if got := get(t, f, "x.example", ""); got != ":" {
			t.Errorf("before: %s", got)
		}
		saved, err := f.Put(ctx, "x.example", alice)
		if err != nil || saved.Plain {
			t.Fatalf("%+v, %v", saved, err)
		}
		if raw, _ := os.ReadFile(path); strings.Contains(string(raw), `"auth":`) {
			t.Errorf("the secret is in %s", raw)
		}
		if got := get(t, f, "x.example", "r"); got != "alice:se:cret" {
			t.Errorf("got %s", got)
		}
		if _, err := f.Put(ctx, "x.example", auth.Credential{RefreshToken: "T"}); err != nil {
			t.Fatal(err)
		}
		if got := get(t, f, "x.example", "r"); got != "token T" {
			t.Errorf("got %s", got)
		}
		if err := f.Delete(ctx, "x.example"); err != nil {
			t.Fatal(err)
		}
		if got := get(t, f, "x.example", ""); got != ":" {
			t.Errorf("after logout: %s", got)
		}
	}
}

func TestInvalid(t *testing.T) {
	f, home := files(t)
	path := filepath.Join(home, ".docker", "config.json")
	for _, text := range []string{`[`, `[]`, `{"auths":3}`, `{"auths":{"x.example":3}}`, `{"auths":{"x.example":{"auth":"!"}}}`,
		`{"auths":{"x.example":{"auth":"YQ=="}}}`, `{"credsStore":{}}`} {
		write(t, path, text)
		if _, err := f.Get(context.Background(), "x.example", ""); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"", " \n", "null"} {
		write(t, path, text)
		if _, err := f.Put(context.Background(), "x.example", alice); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"auths":{"x.example":{"auth":"YTpB"}},"credHelpers":{"y.example":"pass"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c := &content{}
		if err := c.parse(raw); err != nil {
			return
		}
		if c.rest == nil || c.auths == nil {
			t.Fatal("what was parsed can't be added to")
		}
		for key := range c.auths {
			_, _ = c.credential(key)
		}
	})
}
