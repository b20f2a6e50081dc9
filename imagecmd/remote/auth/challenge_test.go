package auth

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChallenge(t *testing.T) {
	for _, tc := range []struct {
		headers []string
		want    challenge
	}{
		{nil, challenge{}},
		{[]string{`Basic realm="r"`}, challenge{scheme: "basic"}},
		{[]string{`BASIC`}, challenge{scheme: "basic"}},
		{[]string{`Bearer realm="https://a.example/token?x=1,2",service="s",scope="repository:a/b:pull,push"`},
			challenge{"bearer", map[string]string{"realm": "https://a.example/token?x=1,2", "service": "s", "scope": "repository:a/b:pull,push"}}},
		{[]string{"bearer  Realm = x\t, service=\"a\\\"b\\\\c\" , scope"}, challenge{"bearer", map[string]string{"realm": "x", "service": `a"b\c`}}},
		{[]string{`Bearer realm="x`}, challenge{"bearer", map[string]string{}}},
		{[]string{`Bearer realm="x\`}, challenge{"bearer", map[string]string{}}},
		{[]string{`Bearer realm=`}, challenge{"bearer", map[string]string{}}},
		{[]string{`Bearer realm="x" service="y"`}, challenge{"bearer", map[string]string{"realm": "x"}}},
		{[]string{`Negotiate`, `Basic realm="r"`}, challenge{scheme: "basic"}},
		{[]string{`Negotiate abc==`}, challenge{}},
		{[]string{``, `"`}, challenge{}},
	} {
		got := challengeOf(http.Header{"Www-Authenticate": tc.headers})
		if d := cmp.Diff(tc.want, got, cmp.AllowUnexported(challenge{})); d != "" {
			t.Errorf("%q: %s", tc.headers, d)
		}
	}
}

// What is read of a challenge is read of it again when it is written in quotes.
func FuzzChallenge(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		c := parseChallenge(s)
		if c.scheme != "bearer" {
			return
		}
		text := "Bearer "
		for name, value := range c.params {
			if name == "" {
				t.Fatalf("%q: a parameter without a name", s)
			}
			text += name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `",`
		}
		if d := cmp.Diff(c, parseChallenge(text), cmp.AllowUnexported(challenge{})); d != "" {
			t.Errorf("%q, written as %q: %s", s, text, d)
		}
	})
}

func TestMergeScopes(t *testing.T) {
	for _, tc := range []struct{ scopes, want string }{
		{"", ""},
		{"repository:x:pull", "repository:x:pull"},
		{"repository:x:push,pull,push,", "repository:x:pull,push"},
		{"repository:x:push repository:a:pull repository:x:pull", "repository:a:pull repository:x:pull,push"},
		{"repository:x:pull repository:x:*", "repository:x:*"},
		{"repository:localhost:5000/x:pull repository:localhost:5000/x:push", "repository:localhost:5000/x:pull,push"},
		{"repository:x:", ""},
		{"odd registry:catalog:* odd a:b", "a:b odd registry:catalog:*"},
	} {
		if got := strings.Join(mergeScopes(strings.Split(tc.scopes, " ")...), " "); got != tc.want {
			t.Errorf("%q: %q instead of %q", tc.scopes, got, tc.want)
		}
	}
	if got := ScopeRepository("a/b", ActionPull, ActionPush); got != "repository:a/b:pull,push" {
		t.Error(got)
	}
	if got := ScopeRepository("", ActionPull) + ScopeRepository("x"); got != "" {
		t.Error(got)
	}
}
