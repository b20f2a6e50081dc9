package torture

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// jobVar makes the test binary a process that works on a union; its value is the
// job.
const jobVar = "CFS_TORTURE_JOB"

// A job is what one of several processes does, in several goroutines.
type job struct {
	Kind string // a key of jobs
	Dir  string // the root of the union
	Proc int    // which of the processes it is
}

const (
	processes  = 3
	goroutines = 4
	workers    = processes * goroutines
)

// jobs are called once a goroutine; id counts them over all processes. What they
// return is what the test is told, as lines.
var jobs = map[string]func(dir string, id int) ([]string, error){
	"append": appendJob, "cold": coldJob, "blocks": blocksJob, "names": namesJob, "locks": locksJob, "links": linksJob,
}

func work(arg string) error {
	var j job
	if err := json.Unmarshal([]byte(arg), &j); err != nil {
		return err
	}
	// Ready; the end of the file is the word to start.
	if _, err := os.NewFile(4, "ready").Write([]byte{1}); err != nil {
		return err
	}
	if _, err := os.NewFile(3, "start").Read(make([]byte, 1)); err != io.EOF {
		return fmt.Errorf("waiting for the others: %w", err)
	}
	var wg sync.WaitGroup
	errs := make([]error, goroutines)
	lines := make([][]string, goroutines)
	for g := range goroutines {
		wg.Go(func() {
			id := j.Proc*goroutines + g
			if lines[g], errs[g] = jobs[j.Kind](j.Dir, id); errs[g] != nil {
				errs[g] = fmt.Errorf("worker %d: %w", id, errs[g])
			}
		})
	}
	wg.Wait()
	for g := range goroutines {
		if errs[g] != nil {
			return errs[g]
		}
		for _, l := range lines[g] {
			fmt.Println(l)
		}
	}
	return nil
}

// runJobs does a job in several processes at once, which begin together, and
// returns all lines.
func runJobs(t testing.TB, kind, dir string) []string {
	t.Helper()
	var cmds []*exec.Cmd
	var outs []*bytes.Buffer
	starting, start, err := os.Pipe()
	must(t, err)
	readied, ready, err := os.Pipe()
	must(t, err)
	defer starting.Close()
	defer readied.Close()
	for p := range processes {
		arg, err := json.Marshal(job{kind, dir, p})
		must(t, err)
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), jobVar+"="+string(arg))
		out := new(bytes.Buffer)
		cmd.Stdout, cmd.Stderr = out, out
		cmd.ExtraFiles = []*os.File{starting, ready}
		must(t, cmd.Start())
		cmds, outs = append(cmds, cmd), append(outs, out)
	}
	must(t, ready.Close())
	_, err = io.ReadFull(readied, make([]byte, processes))
	must(t, err)
	must(t, start.Close())
	var lines []string
	for i, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Errorf("process %d: %v\n%s", i, err, outs[i])
		}
		lines = append(lines, strings.Fields(outs[i].String())...)
	}
	if t.Failed() {
		t.FailNow()
	}
	return lines
}
