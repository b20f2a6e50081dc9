package imagecmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestKeyWatch(t *testing.T) {
	for _, tc := range []struct {
		keys, typed, pass string
		leave             bool
	}{
		{"", "abc", "abc", false},
		{"", "a\x10\x11b", "a", true},
		{"", "\x10x", "\x10x", false},
		{"", "\x10\x10\x11", "\x10", true},
		{"", "\x10|\x11", "", true}, // in two pieces
		{"ctrl-a,d", "\x01d", "", true},
		{"ctrl-@", "x\x00", "x", true},
		{"q", "abq", "ab", true},
		{"ctrl-[,ctrl-_", "\x1b\x1f", "", true},
	} {
		w, err := newKeyWatch(tc.keys)
		if err != nil {
			t.Fatal(err)
		}
		var pass strings.Builder
		leave := false
		for piece := range strings.SplitSeq(tc.typed, "|") {
			b, l := w.look([]byte(piece))
			pass.Write(b)
			leave = leave || l
		}
		if pass.String() != tc.pass || leave != tc.leave {
			t.Errorf("%q in %q: %q, %t", tc.keys, tc.typed, pass.String(), leave)
		}
	}
	for _, keys := range []string{"ctrl-", "ctrl-1", "ab", "a,,b", "strg-a"} {
		if _, err := newKeyWatch(keys); err == nil {
			t.Errorf("%q was taken", keys)
		}
	}
}

func TestParseSignal(t *testing.T) {
	for s, want := range map[string]unix.Signal{
		"9": 9, "KILL": 9, "sigterm": 15, "SIGUSR1": unix.SIGUSR1, "RTMIN": 34, "RTMIN+3": 37, "SIGRTMAX-1": 63, "64": 64,
	} {
		if n, err := parseSignal(s); n != want || err != nil {
			t.Errorf("%s: %d, %v", s, n, err)
		}
	}
	for _, s := range []string{"", "0", "65", "NOSUCH", "RTMIN+40", "RTM", "RTMINx", "-9"} {
		if n, err := parseSignal(s); err == nil {
			t.Errorf("%q: %d", s, n)
		}
	}
}

func TestParseLog(t *testing.T) {
	o, err := ParseLog("json-file", []string{"max-size=10m", "max-file=3"})
	if want := (LogOptions{MaxSize: 10 << 20, MaxFiles: 3}); o != want || err != nil {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err := ParseLog("none", nil); !o.None || err != nil {
		t.Errorf("%+v, %v", o, err)
	}
	for _, opts := range [][]string{{"max-size=x"}, {"max-size=0"}, {"max-file=0", "max-size=1"}, {"max-file=x"}, {"max-file=3"}, {"tag=x"}} {
		if _, err := ParseLog("", opts); err == nil {
			t.Errorf("%q was taken", opts)
		}
	}
	if _, err := ParseLog("syslog", nil); err == nil {
		t.Error("syslog was taken")
	}
}

func TestEnvFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "env")
	write := func(s string) {
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("\ufeffA=1\n# no\n\n  B=two words  \nHOST\nGONE\nC=\n")
	host := func(name string) (string, bool) { return "h", name == "HOST" }
	got, err := environment([]string{path}, []string{"A=2"}, host)
	if diff := cmp.Diff([]string{"A=1", "B=two words  ", "HOST=h", "GONE", "C=", "A=2"}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, bad := range []string{"=x", "A B=1", "A=\xff"} {
		write(bad + "\n")
		if _, err := environment([]string{path}, nil, host); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
