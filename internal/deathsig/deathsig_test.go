package deathsig

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/lostthread"
)

const childEnv = "CFS_TEST_DEATHSIG"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		cmd := exec.Command("cat") // says nothing, but holds our output
		in, err := cmd.StdinPipe()
		if err != nil {
			panic(err)
		}
		defer in.Close()
		cmd.Stdout = os.Stdout
		if err := Start(cmd); err != nil {
			panic(err)
		}
		os.Stdout.WriteString("started\n")
		select {}
	}
	os.Exit(m.Run())
}

// The command lives on while threads of this process end.
func TestOutlivesThreads(t *testing.T) {
	for range 50 {
		cmd := exec.Command("sleep", "1000")
		if err := Start(cmd); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if err := lostthread.Do(func() error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Millisecond)
		if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
			t.Error(err)
		}
		err := cmd.Wait()
		if err == nil || !strings.Contains(err.Error(), "terminated") {
			t.Fatalf("not ended by us: %v", err)
		}
	}
}

// It doesn't outlive the process.
func TestEndsWithProcess(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	if n, err := out.Read(buf); err != nil || string(buf[:n]) != "started\n" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if n, err := out.Read(buf); n > 0 || err == nil { // the end of it, once cat is gone too
		t.Errorf("%q, %v", buf[:n], err)
	}
	_ = cmd.Wait()
}

func TestNoProgram(t *testing.T) {
	if err := Start(exec.Command("/nonexistent")); err == nil {
		t.Error("started")
	}
}
