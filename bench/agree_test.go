package bench

import (
	"os/exec"
	"testing"
)

func TestAgree(t *testing.T) {
	for name, c := range map[string]struct {
		a, b Samples
		want bool
	}{
		"the same":             {Samples{10, 11, 12}, Samples{10, 11, 12}, true},
		"apart, but by little": {Samples{100, 100, 100}, Samples{105, 105, 105}, true},
		"far, but not known":   {Samples{100, 150, 300}, Samples{250, 260, 270}, true},
		"apart":                {Samples{100, 101, 102}, Samples{150, 151, 152}, false},
	} {
		if got := Agree(c.a, c.b); got != c.want || Agree(c.b, c.a) != got {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Every pair measures something on a native directory.
func TestAgreements(t *testing.T) {
	fio, err := exec.LookPath("fio")
	if err != nil {
		t.Skip("SKIPPED: needs the package fio")
	}
	hyperfine, err := exec.LookPath("hyperfine")
	if err != nil {
		t.Skip("SKIPPED: needs the package hyperfine")
	}
	f := NewFixtures(t.TempDir(), smallSizes)
	f.Packed = true
	native := &Native{Copy: t.TempDir() + "/copy"}
	for _, a := range append(Agreements(smallSizes, fio, hyperfine), AgreeOnCommand("a command", hyperfine, "true")) {
		got, err := a.Measure(t.Context(), native, f, Rounds{Most: 1})
		if err != nil {
			t.Errorf("%s: %v", a.Name, err)
			continue
		}
		if len(got[Ours]) != 1 || len(got[Theirs]) != 1 || got[Ours][0] <= 0 || got[Theirs][0] <= 0 {
			t.Errorf("%s: %v", a.Name, got)
		}
	}
}
