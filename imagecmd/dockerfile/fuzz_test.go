package dockerfile

import (
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// FuzzPlan: no Dockerfile makes anything but a plan or an error, whatever is asked of it,
// and every instruction of a plan can be expanded, described and run, or is an error.
func FuzzPlan(f *testing.F) {
	for _, s := range []string{
		"FROM a\nRUN true\n",
		"ARG A=1\nFROM $A AS x\nFROM x\nCOPY --from=x a b\nCOPY --from=0 a b\n",
		"# escape=`\nFROM a\nRUN a `\n b\nENV A=${B:-c} D=${A#*x}\n",
		"FROM a\nRUN <<EOF\n#!/bin/sh\nEOF\nCOPY <<A <<B /x/\n$Y\nA\nB\n",
		"FROM a\nRUN --mount=type=cache,target=$T,mode=0700 --network=none --security=insecure [\"x\"]\n",
		"FROM --platform=$BUILDPLATFORM a\nARG TARGETARCH\nLABEL a=$TARGETARCH\nONBUILD COPY --from=b . .\nEXPOSE 1-3/udp $X\n",
		"FROM a\nHEALTHCHECK --interval=1s CMD x\nSTOPSIGNAL 9\nVOLUME [\"/a\",\"b\"]\nSHELL [\"a\"]\nUSER $U\nWORKDIR a b\nMAINTAINER m\n",
	} {
		f.Add([]byte(s), "", "A", "1")
	}
	f.Fuzz(func(t *testing.T, src []byte, target, arg, value string) {
		file, err := Parse(src)
		if err != nil {
			return
		}
		p, err := file.Plan(PlanOptions{Target: target, Args: map[string]string{arg: value}, Contexts: []string{value}, Build: amd64, For: amd64})
		if err != nil {
			return
		}
		if p.Target == nil || p.Stages[len(p.Stages)-1].Index < p.Target.Index || p.Steps() < len(p.Stages) {
			t.Fatalf("a plan without its target: %+v", p)
		}
		for _, s := range p.Stages {
			scope := p.Scope(nil)
			var triggers []string
			for _, c := range s.Commands {
				if scope.Expand(c, []string{"PATH=/bin", arg + "=" + value}) != nil {
					continue
				}
				if Describe(c, &dockerspec.DockerOCIImageConfig{}) == "" {
					t.Fatalf("%q is nothing", c.Name())
				}
				switch c := c.(type) {
				case *instructions.RunCommand:
					if script, err := ScriptOf(c, nil); err == nil && len(script.Args) == 0 {
						t.Fatalf("%s runs nothing", c)
					}
				case *instructions.OnbuildCommand:
					triggers = append(triggers, c.Expression)
				}
			}
			if _, err := p.Triggers(s, triggers); err == nil && len(triggers) > 0 && p.Steps() < len(p.Stages) {
				t.Fatal("triggers lose stages")
			}
			for _, need := range s.Needs {
				if need.Index >= s.Index {
					t.Fatalf("stage %d needs %d", s.Index, need.Index)
				}
			}
		}
	})
}
