package userns_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

func TestMain(m *testing.M) {
	testenv.Main()
	stage.Main(stage.Table{"test-look": look, "test-own": own, "test-remove": remove, "test-mount": mount})
	os.Exit(m.Run())
}

// look prints what a stage finds itself to be.
func look(_ *stage.Link, payload []byte) int {
	m, err := userns.Current()
	groups, _ := os.Getgroups()
	status, _ := os.ReadFile("/proc/thread-self/status")
	caps := map[string]string{}
	for line := range strings.Lines(string(status)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), ":\t")
		caps[k] = v
	}
	full := strings.Trim(caps["CapEff"], "0123456789abcde") != "" && caps["CapEff"] == caps["CapPrm"]
	fmt.Println(string(payload), os.Getuid(), os.Getgid(), len(groups) == 0, m, full, caps["CapInh"], caps["CapAmb"], caps["Groups"], err)
	return 7
}

func own(_ *stage.Link, payload []byte) int {
	if err := os.Lchown(string(payload), 1000, 1000); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func remove(_ *stage.Link, payload []byte) int {
	if err := os.RemoveAll(string(payload)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func mount(_ *stage.Link, payload []byte) int {
	if err := unix.Mount("tmpfs", string(payload), "tmpfs", 0, ""); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func runStage(t *testing.T, m userns.Mapping, name, payload string) (int, string) {
	t.Helper()
	out, err := os.Create(filepath.Join(testenv.TempDir(t), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p, err := stage.Start(m, name, []byte(payload), stage.Stdio{Out: out, Err: out})
	if err != nil {
		t.Fatal(err)
	}
	status, err := p.Wait()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return status, string(b)
}

func TestStart(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		m, ps := userns.Detect()
		uid := who.UID()
		want := map[testenv.User]string{
			testenv.Root:   "privileged",
			testenv.Ranged: fmt.Sprintf("0:%d:1,1:%d:%d", uid, testenv.SubFirst, testenv.SubCount),
			testenv.Single: fmt.Sprintf("0:%d:1", uid),
		}[who]
		if m.String() != want {
			t.Fatalf("detected %s (%v), want %s", m, ps, want)
		}
		if lacks := len(ps) > 0; lacks != (who == testenv.Single) {
			t.Errorf("problems: %+v", ps)
		}
		status, out := runStage(t, m, "test-look", "hello")
		full := who != testenv.Root // here root may lack a capability
		f := strings.Fields(out)
		if len(f) < 7 || status != 7 {
			t.Fatalf("status %d, output %q", status, out)
		}
		if got, want := strings.Join(f[:5], " "), "hello 0 0 true "+want; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if full && f[5] != "true" || f[6] != "0000000000000000" || f[7] != "0000000000000000" {
			t.Errorf("capabilities: %q", out)
		}
	})
}

// A stage's mounts stay its own.
func TestMountsStay(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		m, _ := userns.Detect()
		dir := testenv.TempDir(t)
		if status, out := runStage(t, m, "test-mount", dir); status != 0 {
			t.Fatalf("status %d, %s", status, out)
		}
		if b, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(b), dir) {
			t.Errorf("the mount is seen outside: %v", err)
		}
	})
}

// What sub-ids own, its user can remove only in a namespace that has them.
func TestRemoveSubIDs(t *testing.T) {
	testenv.AsUser(t, testenv.Ranged, func(t *testing.T, who testenv.User) {
		m, _ := userns.Detect()
		dir := filepath.Join(testenv.TempDir(t), "d")
		if err := os.MkdirAll(filepath.Join(dir, "sub/file"), 0o755); err != nil {
			t.Fatal(err)
		}
		if status, out := runStage(t, m, "test-own", filepath.Join(dir, "sub")); status != 0 {
			t.Fatalf("chown: status %d, %s", status, out)
		}
		if err := os.RemoveAll(dir); !errors.Is(err, os.ErrPermission) {
			t.Fatalf("removing without a namespace: %v", err)
		}
		if status, out := runStage(t, m, "test-remove", dir); status != 0 {
			t.Errorf("status %d, %s", status, out)
		}
	})
}

// Maps that the helpers refuse leave no process behind.
func TestRefusedMap(t *testing.T) {
	testenv.AsUser(t, testenv.Ranged, func(t *testing.T, who testenv.User) {
		m, _ := userns.Detect()
		m.UID = append([]userns.Range(nil), m.UID...)
		m.UID[1].Host = 0
		_, err := stage.Start(m, "test-look", nil, stage.Stdio{})
		if err == nil || !strings.Contains(err.Error(), "newuidmap") {
			t.Errorf("error %v", err)
		}
		if err := exec.Command("true").Run(); err != nil { // no child of ours is left to be waited for
			t.Error(err)
		}
		if b, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid())); err != nil || len(b) > 0 {
			t.Errorf("children %q, %v", b, err)
		}
	})
}

// A stage's name typed by a person does nothing.
func TestNoLink(t *testing.T) {
	cmd := &exec.Cmd{Path: "/proc/self/exe", Args: []string{"test-look"}}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 125 || !strings.Contains(string(out), "this name is for cfs itself") {
		t.Errorf("%v: %s", err, out)
	}
}
