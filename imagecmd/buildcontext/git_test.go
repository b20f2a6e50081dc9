package buildcontext

import (
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseGit(t *testing.T) {
	yes, no := true, false
	for _, tc := range []struct {
		in   string
		want Git
		ok   bool
		err  string
	}{
		{"https://example.com/", Git{}, false, ""},
		{"https://example.com/foo", Git{}, false, ""},
		{"https://example.com/foo.git/", Git{}, false, ""},
		{"./foo.git", Git{}, false, ""},
		{"dir/x", Git{}, false, ""},
		{"custom.xyz/moby/buildkit.git", Git{}, false, ""},
		{"ftp://example.com/foo.git", Git{}, false, ""},
		{"file:///foo.git", Git{}, false, ""},
		{"ext::sh -c id", Git{}, false, ""},
		{"https://example.com/foo.git", Git{Remote: "https://example.com/foo.git"}, true, ""},
		{"https://example.com/foo.git#deadbeef", Git{Remote: "https://example.com/foo.git", Ref: "deadbeef"}, true, ""},
		{"https://example.com/foo.git#release/1.2:a/b", Git{Remote: "https://example.com/foo.git", Ref: "release/1.2", Dir: "a/b"}, true, ""},
		{"https://example.com/foo.git#:/../../a//b/", Git{Remote: "https://example.com/foo.git", Dir: "a/b"}, true, ""},
		{"https://foo:bar@github.com/moby/buildkit.git", Git{Remote: "https://foo:bar@github.com/moby/buildkit.git"}, true, ""},
		{"git://example.com/foo", Git{Remote: "git://example.com/foo"}, true, ""},
		{"ssh://git@example.com:22/foo#x", Git{Remote: "ssh://git@example.com:22/foo", Ref: "x"}, true, ""},
		{"github.com/moby/buildkit#master", Git{Remote: "https://github.com/moby/buildkit", Ref: "master", Short: true}, true, ""},
		{"git@github.com:moby/buildkit.git#v1:docs", Git{Remote: "git@github.com:moby/buildkit.git", Ref: "v1", Dir: "docs"}, true, ""},
		{"git@github.com:moby/x?branch=b", Git{Remote: "git@github.com:moby/x", Ref: "refs/heads/b"}, true, ""},
		{"https://x/y.git?tag=v1&subdir=d&keep-git-dir=1&submodules=false&mtime=commit&checksum=ab12",
			Git{Remote: "https://x/y.git", Ref: "refs/tags/v1", Dir: "d", Checksum: "ab12", KeepGit: &yes, NoModules: true, CommitTime: true}, true, ""},
		{"https://x/y.git?keep-git-dir=false&fetch-by-commit", Git{Remote: "https://x/y.git", KeepGit: &no}, true, ""},
		{"https://x/y.git?ref=a#a", Git{Remote: "https://x/y.git", Ref: "a"}, true, ""},
		{"https://x/y.git?ref=a#b", Git{}, true, `ref conflicts: "b" vs "a"`},
		{"https://x/y.git?tag=a&branch=b", Git{}, true, "branch conflicts with tag"},
		{"https://x/y.git?ref=a&ref=b", Git{}, true, `query "ref" has multiple values`},
		{"https://x/y.git?ref=", Git{}, true, `query "ref" has no value`},
		{"https://x/y.git?what=x", Git{}, true, `unexpected query "what"`},
		{"https://x/y.git?keep-git-dir=perhaps", Git{}, true, `invalid keep-git-dir value: "perhaps"`},
		{"https://x/y.git?mtime=now", Git{}, true, `invalid mtime value: "now"`},
		{"https://x/y.git#--upload-pack=id", Git{}, true, `invalid reference "--upload-pack=id"`},
		{"https://x/y.git?commit=zz", Git{}, true, `invalid commit "zz"`},
	} {
		got, ok, err := ParseGit(tc.in)
		if ok != tc.ok || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: %t, error %v; want %t, %s", tc.in, ok, err, tc.ok, tc.err)
			continue
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s: %s", tc.in, d)
		}
	}
}

// Nothing that names a repository makes git take it for an option or another transport, or
// leads out of it.
func FuzzParseGit(f *testing.F) {
	for _, s := range []string{
		"https://example.com/foo.git#a:b", "git@host:path?ref=x#y", "github.com/a/b", "ssh://-oProxyCommand=id/x", "git://h/p?tag=v1&subdir=../..",
		"http://[::1]:80/a.git?checksum=ab#:x", "a@b:c#-x", "https://x/y.git?submodules&keep-git-dir=0",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		g, ok, err := ParseGit(s)
		if err != nil || !ok {
			if g != (Git{}) {
				t.Errorf("%q: %+v with %t, %v", s, g, ok, err)
			}
			return
		}
		scheme, _, url := strings.Cut(g.Remote, "://")
		if url && !strings.Contains(" git ssh http https ", " "+strings.ToLower(scheme)+" ") || !url && !strings.Contains(g.Remote, "@") {
			t.Errorf("%q: remote %q", s, g.Remote)
		}
		if strings.HasPrefix(g.Remote, "-") || strings.HasPrefix(g.Ref, "-") {
			t.Errorf("%q: options in %+v", s, g)
		}
		if g.Dir != "" && (path.Clean("/"+g.Dir) != "/"+g.Dir) {
			t.Errorf("%q: directory %q", s, g.Dir)
		}
		again, ok, err := ParseGit(s)
		if !ok || err != nil || cmp.Diff(g, again) != "" {
			t.Errorf("%q: %+v, then %+v, %t, %v", s, g, again, ok, err)
		}
	})
}
