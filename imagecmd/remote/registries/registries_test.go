package registries

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cfs-project/cfs/internal/reference"
)

func config(t *testing.T, texts ...string) *Config {
	t.Helper()
	var paths []string
	for i, text := range texts {
		path := filepath.Join(t.TempDir(), string(rune('a'+i))+".conf")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	c, err := Load(paths...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func named(t *testing.T, s string) reference.Named {
	t.Helper()
	ref, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		t.Fatal(err)
	}
	return reference.TrimNamed(ref)
}

const mirrored = `
[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "mirror.lan:5000/hub"
insecure = true
[[registry.mirror]]
location = "digests.lan"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "tags.lan"
pull-from-mirror = "tag-only"

[[registry]]
prefix = "docker.io/library"
location = "docker.io/library"
mirror-by-digest-only = true
[[registry.mirror]]
location = "official.lan"

[[registry]]
prefix = "old.example.com/team"
location = "new.example.com/teams/a"
insecure = true

[[registry]]
prefix = "*.bad.example.com"
blocked = true

[[registry]]
prefix = "*.moved.example.com"
location = "here.example.com/all"
`

func TestPlaces(t *testing.T) {
	c := config(t, mirrored)
	for _, tc := range []struct {
		name     string
		byDigest bool
		want     []Place
	}{
		{"x/y", false, []Place{{"mirror.lan:5000", "hub/x/y", true, true}, {"tags.lan", "x/y", false, true}, {"docker.io", "x/y", false, false}}},
		{"x/y", true, []Place{{"mirror.lan:5000", "hub/x/y", true, true}, {"digests.lan", "x/y", false, true}, {"docker.io", "x/y", false, false}}},
		{"debian", false, []Place{{"docker.io", "library/debian", false, false}}},
		{"debian", true, []Place{{"official.lan", "debian", false, true}, {"docker.io", "library/debian", false, false}}},
		{"docker.io/libraryx/debian", false, []Place{{"mirror.lan:5000", "hub/libraryx/debian", true, true}, {"tags.lan", "libraryx/debian", false, true}, {"docker.io", "libraryx/debian", false, false}}},
		{"old.example.com/team/app", false, []Place{{"new.example.com", "teams/a/app", true, false}}},
		{"old.example.com/other", false, []Place{{"old.example.com", "other", false, false}}},
		{"a.moved.example.com/x", false, []Place{{"here.example.com", "all/x", false, false}}},
		{"localhost:5000/x", false, []Place{{"localhost:5000", "x", false, false}}},
	} {
		got, err := c.Places(named(t, tc.name), tc.byDigest)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s, by digest %t: %s", tc.name, tc.byDigest, d)
		}
	}
	if _, err := c.Places(named(t, "very.bad.example.com/x"), false); !errors.Is(err, ErrBlocked) {
		t.Errorf("a blocked registry: %v", err)
	}
	if _, err := c.Host("very.bad.example.com"); !errors.Is(err, ErrBlocked) {
		t.Errorf("a blocked registry: %v", err)
	}
	if p, err := c.Host("docker.io"); err != nil || p.Host != "docker.io" || p.Insecure {
		t.Errorf("docker.io: %v, %v", p, err)
	}
}

func TestShort(t *testing.T) {
	c := config(t, `unqualified-search-registries = ["quay.io", "docker.io"]
[aliases]
fedora = "registry.fedoraproject.org/fedora"
gone = "quay.io/gone"`, "[aliases]\ngone = \"\"\n\"team/app\" = \"localhost:5000/app\"")
	for name, want := range map[string][]string{
		"fedora:40":       {"registry.fedoraproject.org/fedora:40"},
		"debian":          {"quay.io/debian", "docker.io/library/debian"},
		"gone:1":          {"quay.io/gone:1", "docker.io/library/gone:1"},
		"team/app":        {"localhost:5000/app"},
		"docker.io/x":     nil,
		"localhost/x":     nil,
		"localhost:500/x": nil,
	} {
		got, err := c.Short(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var names []string
		for _, g := range got {
			names = append(names, g.Name.String())
		}
		if d := cmp.Diff(want, names); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	if got, err := config(t).Short("debian"); got != nil || err != nil {
		t.Errorf("without a file: %v, %v", got, err)
	}
	strict := config(t, `unqualified-search-registries = ["a.example", "b.example"]`, `short-name-mode = "enforcing"`)
	if _, err := strict.Short("x"); err == nil {
		t.Error("a short name that may be two things is taken where that is forbidden")
	}
}

func TestInvalid(t *testing.T) {
	for _, text := range []string{
		"[[registry]]\ninsecure = true",
		"[[registry]]\nprefix = \"x.example\"",
		"[[registry]]\nlocation = \"*.example\"",
		"[[registry]]\nlocation = \"https://x.example\"",
		"[[registry]]\nlocation = \"x\"\n[[registry.mirror]]\ninsecure = true",
		"[[registry]]\nlocation = \"x\"\n[[registry.mirror]]\nlocation = \"y\"\npull-from-mirror = \"never\"",
		"[[registry]]\nlocation = \"x\"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = \"y\"\npull-from-mirror = \"all\"",
		"[registries.search]\nregistries = [\"docker.io\"]",
		"short-name-mode = \"maybe\"",
		"[aliases]\nx = \"y\"",
		"[aliases]\nx = \"docker.io/library/y:1\"",
		"[aliases]\n\"docker.io/x\" = \"docker.io/library/y\"",
		"unqualified-search-registries = 3",
		"[",
	} {
		if err := (&Config{aliases: map[string]alias{}}).add("f", text); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// What is wrong with a file is said with its place.
func TestInvalidSaysWhere(t *testing.T) {
	for text, where := range map[string]string{"\n\n[[registry": "line 3, ", "# x\nunqualified-search-registries = 3": "line 2, "} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), where) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// An empty list is one, and takes what earlier files say back.
func TestEmptySearch(t *testing.T) {
	c := &Config{aliases: map[string]alias{}}
	for _, text := range []string{"unqualified-search-registries = [\"a.example\"]", "", "unqualified-search-registries = []"} {
		if err := c.add("f", text); err != nil {
			t.Fatal(err)
		}
		if want := text != "unqualified-search-registries = []"; (len(c.search) == 1) != want {
			t.Errorf("after %q: %q", text, c.search)
		}
	}
}

// A file that is named alone must be there; others may be missing.
func TestPathsAndMissing(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("CONTAINERS_REGISTRIES_CONF", "")
	user := filepath.Join(home, "containers", "registries.conf")
	if err := os.MkdirAll(user+".d", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{user, filepath.Join(user+".d", "b.conf"), filepath.Join(user+".d", "a.conf")} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Paths()
	if err != nil || got[0] != user {
		t.Errorf("%v, %v", got, err)
	}
	if n := len(got); got[n-2] != filepath.Join(user+".d", "a.conf") || got[n-1] != filepath.Join(user+".d", "b.conf") {
		t.Errorf("%v", got)
	}
	if _, err := Load(filepath.Join(home, "none"), filepath.Join(home, "none")); err != nil {
		t.Error(err)
	}
	t.Setenv("CONTAINERS_REGISTRIES_CONF", filepath.Join(home, "none"))
	got, _ = Paths()
	if _, err := Load(got...); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that was asked for and is not there: %v", err)
	}
}

// Whatever a file says, what is read of it names hosts and repositories only.
func FuzzLoad(f *testing.F) {
	f.Add(mirrored)
	f.Add("unqualified-search-registries = [\"quay.io\"]\n[aliases]\nx = \"quay.io/x\"")
	f.Fuzz(func(t *testing.T, text string) {
		c := &Config{aliases: map[string]alias{}}
		if err := c.add("f", text); err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%v", err)
			}
			return
		}
		for _, name := range []string{"docker.io/library/debian", "a.b.example.com/x/y"} {
			ref, err := reference.ParseNamed(name)
			if err != nil {
				t.Fatal(err)
			}
			places, err := c.Places(ref, true)
			if err != nil {
				continue
			}
			for _, p := range places {
				if p.Host == "" || p.Repository == "" {
					t.Errorf("%s is at %+v", name, p)
				}
			}
		}
		_, _ = c.Short("debian:1")
	})
}
