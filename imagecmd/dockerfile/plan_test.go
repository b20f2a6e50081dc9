package dockerfile

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var amd64 = ocispec.Platform{OS: "linux", Architecture: "amd64"}

func plan(t *testing.T, text string, o PlanOptions) *Plan {
	t.Helper()
	f, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	o.Build, o.For = amd64, amd64
	p, err := f.Plan(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestStages: which stages a target needs, and on what they stand.
func TestStages(t *testing.T) {
	const text = `ARG BASE=alpine
FROM $BASE AS build
FROM scratch AS unused
COPY --from=nosuch /x /
FROM build AS test
RUN --mount=from=assets,target=/a true
FROM debian AS assets
FROM build
COPY --from=assets /a /
COPY --from=3 /b /
COPY --from=busybox /c /
COPY --from=ctx /d /
`
	for _, tc := range []struct {
		target   string
		contexts []string
		want     []string // label, base, needs
	}{
		{"", nil, []string{"build alpine", "assets debian", "4 =build build,assets"}},
		{"build", nil, []string{"build alpine"}},
		{"0", nil, []string{"build alpine"}},
		{"BUILD", nil, []string{"build alpine"}},
		{"unused", nil, []string{"unused scratch"}},
		{"", []string{"assets", "ctx", "alpine"}, []string{"build @alpine", "assets @assets", "4 =build build,assets"}},
	} {
		p := plan(t, text, PlanOptions{Target: tc.target, Contexts: tc.contexts})
		var got []string
		for _, s := range p.Stages {
			line := s.Label() + " " + s.Base.Image
			if s.Base.Stage != nil {
				line += "=" + s.Base.Stage.Label()
			}
			if s.Base.Context != "" {
				line += "@" + s.Base.Context
			}
			var needs []string
			for _, n := range s.Needs {
				needs = append(needs, n.Label())
			}
			if len(needs) > 0 {
				line += " " + strings.Join(needs, ",")
			}
			got = append(got, line)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("target %q, contexts %v:\n%s", tc.target, tc.contexts, diff)
		}
	}
}

// TestRefused: what can't be is said with its line.
func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "dockerfile parse error line 0: file with no instructions",
		"RUN true":                            "no build stage in current context",
		"ARG x=y":                             "no build stage in current context",
		"FROM a\nRNU x":                       "dockerfile parse error line 2: unknown instruction: RNU",
		"FROM a\nCOPY x":                      "dockerfile parse error line 2: COPY requires at least two arguments",
		"FROM a\nONBUILD FROM x":              "dockerfile parse error line 2: FROM isn't allowed as an ONBUILD trigger",
		"FROM a\nONBUILD RNU x":               "dockerfile parse error line 2: unknown instruction: RNU",
		"FROM a\nRUN --device=x true":         "dockerfile parse error line 2: RUN --device is not supported by cfs",
		"FROM a\nRUN --nosuch true":           "dockerfile parse error line 2: unknown flag: --nosuch",
		"FROM $X":                             "dockerfile parse error line 1: base name ($X) should not be blank",
		"FROM --platform=$X a":                "dockerfile parse error line 1: empty platform value from expression $X",
		"FROM ${X:?needed} AS y":              "dockerfile parse error line 1: failed to process \"${X:?needed}\": X: needed",
		"FROM a AS 1":                         "dockerfile parse error line 1: invalid name for build stage: \"1\"",
		"FROM a\nCOPY --from=1 x y":           "dockerfile parse error line 2: invalid stage index 1",
		"FROM a\nCOPY --from=scratch x y":     "dockerfile parse error line 2: nothing can be taken from \"scratch\"",
		"# syntax=x/y\nFROM a":                "syntax=x/y is a frontend that is not supported by cfs",
		"FROM a\nRUN --mount=from=$X true":    "dockerfile parse error line 2: 'from' doesn't support variable expansion",
		"FROM a\nRUN <<EOF\nunterminated":     "dockerfile parse error line 2: unterminated heredoc",
		"FROM a\nHEALTHCHECK --retries=x CMD": "dockerfile parse error line 2: ",
	} {
		f, err := Parse([]byte(text))
		if err == nil {
			_, err = f.Plan(PlanOptions{Build: amd64, For: amd64})
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := Parse([]byte("# syntax=docker/dockerfile:1.7-labs\nFROM a")); err != nil {
		t.Error(err)
	}
	if _, err := Parse([]byte("FROM a\nRUN --device=x true")); !errors.Is(err, ErrUnsupported) {
		t.Errorf("%v is not ErrUnsupported", err)
	}
}

// TestArguments: what variables mean, and to whom.
func TestArguments(t *testing.T) {
	const text = `ARG GLOBAL=g
ARG BOTH=global
FROM a AS one
ARG GLOBAL
ARG BOTH=stage
ARG OWN=o
ARG NEXT=$OWN-$GLOBAL
ARG UNSET
ARG TARGETARCH
ENV SEEN=$GLOBAL,$BOTH,$OWN,$NEXT,$UNSET,$TARGETARCH,$HTTP_PROXY OWN=env
LABEL l=$OWN
FROM one
ENV SEEN=$OWN,$GLOBAL
`
	for _, tc := range []struct {
		args   map[string]string
		seen   []string
		run    []string // of the first stage's end
		unused []string
	}{
		{nil, []string{"g,stage,o,o-g,,amd64,", "env,g"}, []string{"BOTH=stage", "GLOBAL=g", "NEXT=o-g", "TARGETARCH=amd64"}, nil},
		{
			map[string]string{"GLOBAL": "G", "BOTH": "B", "OWN": "O", "UNSET": "U", "MORE": "m", "HTTP_PROXY": "p", "TARGETARCH": "mips"},
			[]string{"G,B,O,O-G,U,mips,p", "env,G"},
			[]string{"BOTH=B", "GLOBAL=G", "NEXT=O-G", "TARGETARCH=mips", "UNSET=U"},
			[]string{"MORE"},
		},
	} {
		p := plan(t, text, PlanOptions{Args: tc.args})
		var scope *Scope
		var env, seen []string
		for i, s := range p.Stages {
			scope = p.Scope(scope)
			for _, c := range s.Commands {
				if err := scope.Expand(c, env); err != nil {
					t.Fatal(err)
				}
				e, ok := c.(*instructions.EnvCommand)
				if !ok {
					continue
				}
				for _, kv := range e.Env {
					env = append(slices.DeleteFunc(env, func(old string) bool { return name(old) == kv.Key }), kv.Key+"="+kv.Value)
					if kv.Key == "SEEN" {
						seen = append(seen, kv.Value)
					}
				}
			}
			if got := scope.Args(env); i == 0 && !slices.Equal(got, tc.run) {
				t.Errorf("%v: RUN sees %q, want %q", tc.args, got, tc.run)
			}
		}
		if !slices.Equal(seen, tc.seen) {
			t.Errorf("%v: %q, want %q", tc.args, seen, tc.seen)
		}
		if got := p.Unused(); !slices.Equal(got, tc.unused) {
			t.Errorf("%v: unused %q, want %q", tc.args, got, tc.unused)
		}
	}
}

// TestBuildkitFiles: what buildkit's own parser reads, this package does. The files
// come with its module.
func TestBuildkitFiles(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/moby/buildkit").Output()
	if err != nil {
		t.Skipf("SKIPPED: no go command to ask where buildkit's source is: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "frontend/dockerfile/parser/testfiles/*/Dockerfile"))
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	// These are for the parser alone: what their instructions say is not right, or there is no FROM.
	wrong := map[string]string{
		"flags": "unknown flag: --user", "health": "HEALTHCHECK requires at least one argument", "jeztah-invalid-json-json-inside-string": "no build stage", "jeztah-invalid-json-json-inside-string-double": "no build stage",
		"jeztah-invalid-json-single-quotes": "no build stage", "jeztah-invalid-json-unterminated-bracket": "no build stage",
		"jeztah-invalid-json-unterminated-string": "no build stage", "json": "no build stage",
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(filepath.Dir(path))
		f, err := Parse(text)
		if err == nil {
			_, err = f.Plan(PlanOptions{Build: amd64, For: amd64})
		}
		if want, is := wrong[name]; is {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
