package runtime

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A filter that was compiled for one profile is never used for another.
func TestCompiledMeanwhile(t *testing.T) {
	profile := func(a specs.LinuxSeccompAction) *specs.LinuxSeccomp {
		return &specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow,
			Syscalls:      []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: a}},
		}
	}
	i := &Init{seccomp: beginSeccomp(&specs.Linux{Seccomp: profile(specs.ActErrno)})}
	for _, a := range []specs.LinuxSeccompAction{specs.ActErrno, specs.ActKillProcess} {
		want, err := planSeccomp(profile(a))
		if err != nil {
			t.Fatal(err)
		}
		got, err := i.planSeccomp(profile(a))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", a, d)
		}
	}
	if got, err := i.planSeccomp(nil); got != nil || err != nil {
		t.Errorf("no profile became %v, %v", got, err)
	}
}
