package main

import (
	"strings"
	"testing"
)

func TestTally(t *testing.T) {
	const events = `{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    x_test.go:3: no fuse here\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestC","Output":"    boom\n"}
{"Action":"fail","Package":"p","Test":"TestC"}
{"Action":"fail","Package":"p"}
not json
`
	var out strings.Builder
	tl := &tally{output: map[string]*strings.Builder{}}
	if err := tl.read(strings.NewReader(events), &out); err != nil {
		t.Fatal(err)
	}
	if tl.passed != 1 || tl.failed != 1 || tl.skipped != 1 {
		t.Errorf("passed %d, failed %d, skipped %d, want 1 each", tl.passed, tl.failed, tl.skipped)
	}
	if len(tl.skips) != 1 || tl.skips[0] != "p TestB: x_test.go:3: no fuse here" {
		t.Errorf("skips = %q", tl.skips)
	}
	for _, want := range []string{"boom", "FAIL p", "not json"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output %q lacks %q", out.String(), want)
		}
	}
}

func TestExitStatus(t *testing.T) {
	for _, tc := range []struct {
		script string
		want   int
	}{
		{`echo '{"Action":"pass","Package":"p","Test":"T"}'`, 0},
		{`echo '{"Action":"fail","Package":"p","Test":"T"}'; exit 3`, 3},
		{`true`, 1}, // no test ran
	} {
		var out, errs strings.Builder
		if got := run([]string{"sh", "-c", tc.script}, &out, &errs); got != tc.want {
			t.Errorf("run(%q) = %d, want %d\n%s%s", tc.script, got, tc.want, out.String(), errs.String())
		}
	}
}
