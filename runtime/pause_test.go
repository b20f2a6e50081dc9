package runtime_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/runtime"
)

// statusField is a line of /proc/PID/status.
func statusField(dir, name string) string {
	b, _ := os.ReadFile(dir + "/status")
	for line := range strings.Lines(string(b)) {
		if key, value, _ := strings.Cut(line, ":"); key == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// inside lists the processes of the container below P, PID 1 first.
func inside(t *testing.T, p int) []string {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	below := map[string]bool{fmt.Sprint(p): true}
	var family []string
	for range 4 { // P, S, PID 1, its children, theirs
		for _, dir := range all {
			pid := filepath.Base(dir)
			if !below[pid] && below[statusField(dir, "PPid")] {
				below[pid] = true
				if len(strings.Fields(statusField(dir, "NSpid"))) > 1 {
					family = append(family, pid)
				}
			}
		}
	}
	return family
}

// A container that starts processes all the time stands still while it is
// paused, and goes on where it was; its shell takes nothing for a stopped job.
func TestPause(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		j := sh(t, `set -m; (while :; do /bin/true & /bin/true; done) & while echo line; do /bin/cat /dev/null; jobs; done`)
		j.Init = true
		cmd := j.cmd(t)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { cmd.Process.Kill(); cmd.Wait() }()
		lines := bufio.NewScanner(out)
		read := func() {
			t.Helper()
			for range 20 {
				if !lines.Scan() {
					t.Fatalf("the container ended: %v", lines.Err())
				}
				if strings.Contains(lines.Text(), "Stopped") {
					t.Fatalf("the shell says %q", lines.Text())
				}
			}
		}
		read()
		family := inside(t, cmd.Process.Pid)
		if len(family) == 0 {
			t.Fatal("no process of the container was found")
		}
		var init int
		fmt.Sscan(family[0], &init)
		for range 3 {
			p, err := runtime.Pause(context.Background(), init)
			if err != nil {
				t.Fatal(err)
			}
			for _, pid := range inside(t, cmd.Process.Pid) {
				if s := statusField("/proc/"+pid, "State"); s != "" && s[0] != 'T' && s[0] != 'Z' {
					t.Errorf("process %s of a paused container is %s", pid, s)
				}
			}
			p.Resume()
			for _, pid := range inside(t, cmd.Process.Pid) {
				for s := "T"; strings.HasPrefix(s, "T"); s = statusField("/proc/"+pid, "State") {
					time.Sleep(time.Millisecond) // the signal is on its way
				}
			}
		}
		go func() { // a full pipe is no standstill
			for lines.Scan() {
			}
		}()
	})
}

func TestPauseRefuses(t *testing.T) {
	if p, err := runtime.Pause(context.Background(), os.Getpid()); !errors.Is(err, runtime.ErrNotInit) {
		t.Errorf("%v, %v", p, err)
	}
}
