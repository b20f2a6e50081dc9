// Command testcount runs `go test -json …`, passes on what a person wants to
// see of it, and closes with the number of tests passed, failed and skipped.
// Every skip is listed with its reason: a test that did not run is not a test
// that passed.
//
//	testcount -- go test -json ./...
//
// Exit status: that of the command, or 1 when no test ran at all.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sort"
	"strings"
	"time"
)

// event is one line of `go test -json` (go doc test2json).
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64
}

type tally struct {
	passed, failed, skipped int
	output                  map[string]*strings.Builder // of tests still running
	skips                   []string
}

func main() {
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: testcount -- go test -json PACKAGES")
		os.Exit(2)
	}
	os.Exit(run(args, os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	start := time.Now()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		fmt.Fprintln(stderr, "testcount:", err)
		return 1
	}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(stderr, "testcount:", err)
		return 1
	}
	t := &tally{output: map[string]*strings.Builder{}}
	if err := t.read(pipe, stdout); err != nil {
		fmt.Fprintln(stderr, "testcount:", err)
	}
	werr := cmd.Wait()

	sort.Strings(t.skips)
	for _, s := range t.skips {
		fmt.Fprintln(stdout, "SKIPPED", s)
	}
	fmt.Fprintf(stdout, "in %s:\n%d passed, %d failed, %d skipped\n",
		time.Since(start).Round(time.Second), t.passed, t.failed, t.skipped)
	var exit *exec.ExitError
	switch {
	case errors.As(werr, &exit):
		return exit.ExitCode()
	case werr != nil || t.failed > 0 || t.passed+t.failed == 0:
		return 1
	}
	return 0
}

func (t *tally) read(r io.Reader, stdout io.Writer) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				_, _ = stdout.Write(line) // not an event: a build error, say
			} else {
				t.event(e, stdout)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (t *tally) event(e event, stdout io.Writer) {
	key := e.Package + "\x00" + e.Test
	out := t.output[key]
	switch e.Action {
	case "output", "build-output":
		if e.Action == "build-output" {
			fmt.Fprint(stdout, e.Output)
			return
		}
		if out == nil {
			out = &strings.Builder{}
			t.output[key] = out
		}
		out.WriteString(e.Output)
		return
	case "pass", "fail", "skip":
		delete(t.output, key)
	default:
		return
	}
	if e.Test == "" { // the package as a whole
		switch e.Action {
		case "fail":
			if out != nil {
				fmt.Fprint(stdout, out.String())
			}
			fmt.Fprintf(stdout, "FAIL %s\n", e.Package)
		case "pass":
			fmt.Fprintf(stdout, "ok   %s %.1fs\n", e.Package, e.Elapsed)
		}
		return
	}
	switch e.Action {
	case "pass":
		t.passed++
	case "fail":
		t.failed++
		if out != nil {
			fmt.Fprint(stdout, out.String())
		}
	case "skip":
		t.skipped++
		t.skips = append(t.skips, e.Package+" "+e.Test+": "+reason(out))
	}
}

// reason is the line a test gave to t.Skip.
func reason(out *strings.Builder) string {
	if out == nil {
		return "no reason given"
	}
	for _, l := range strings.Split(out.String(), "\n") {
		l = strings.TrimSpace(l)
		if l != "" && !strings.HasPrefix(l, "===") && !strings.HasPrefix(l, "---") {
			return l
		}
	}
	return "no reason given"
}
