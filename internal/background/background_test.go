package background

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/cfs-project/cfs/internal/hint"
)

type job struct {
	Fail string
	Dir  string
}

func TestMain(m *testing.M) {
	Main(Table{"background-test": func(s *Server) int {
		var j job
		if err := s.Request(&j); err != nil {
			s.Ready(err)
			return 1
		}
		switch j.Fail {
		case "die":
			return 7
		case "":
		default:
			s.Ready(hint.With(errors.New(j.Fail), "try again"))
			return 1
		}
		s.Ready(nil)
		if _, err := s.File(0).WriteString("served"); err != nil {
			return 1
		}
		if err := os.WriteFile(filepath.Join(j.Dir, "done"), nil, 0o600); err != nil {
			return 1
		}
		return 0
	}})
	os.Exit(m.Run())
}

func TestStart(t *testing.T) {
	dir := t.TempDir()
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := Start("background-test", job{Dir: dir}, nil, out); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "done")); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the server did not serve")
		}
	}
	if b, err := os.ReadFile(out.Name()); err != nil || string(b) != "served" {
		t.Errorf("handed-over file holds %q, %v", b, err)
	}
}

func TestStartFails(t *testing.T) {
	err := Start("background-test", job{Fail: "no room"}, nil)
	if err == nil || err.Error() != "no room" || hint.Of(err) != "try again" {
		t.Errorf("Start = %v, want the server's error with its hint", err)
	}
	if err := Start("background-test", job{Fail: "die"}, nil); err == nil {
		t.Error("Start of a server that dies succeeded")
	}
}

// What a server leaves uncollected while it starts it collects often once it has settled.
func TestSettledCollectsOften(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMAXPROCS", "")
	percent, procs := debug.SetGCPercent(100), runtime.GOMAXPROCS(0)
	defer func() {
		debug.SetGCPercent(percent)
		runtime.GOMAXPROCS(procs)
	}()
	LeanLater()
	if got := debug.SetGCPercent(startPercent); got != startPercent {
		t.Errorf("at its start the server collects at %d %%", got)
	}
	settle()
	if got := debug.SetGCPercent(100); got != leanPercent {
		t.Errorf("once it has settled the server collects at %d %%", got)
	}
}
