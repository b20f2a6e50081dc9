package oci_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/cfs-project/cfs/internal/testenv"
	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/oci"
	"github.com/cfs-project/cfs/runtime/stage"
)

// lingerVar has this program do nothing for a while, so that it is seen.
const lingerVar = "CFS_TEST_LINGER"

func TestMain(m *testing.M) {
	if os.Getenv(lingerVar) != "" {
		time.Sleep(300 * time.Millisecond)
		os.Exit(0)
	}
	testenv.Main()
	runtime.Main(stage.Table{})
	os.Exit(m.Run())
}

// A box is a bundle and a runtime to run it by.
type box struct {
	*oci.Runtime
	t      *testing.T
	bundle string
	spec   *specs.Spec
	out    *os.File // what its process prints
}

// newBox is a bundle of the busybox root that runs a line of shell.
func newBox(t *testing.T, line string) *box {
	t.Helper()
	b := &box{t: t, bundle: t.TempDir(), spec: oci.Template(false)}
	b.Runtime = &oci.Runtime{Root: filepath.Join(t.TempDir(), "state"), Warn: func(s string) { t.Log("warning:", s) }}
	b.spec.Root = &specs.Root{Path: testenv.BusyboxRoot(t)}
	b.spec.Process.Terminal = false
	b.spec.Process.Args = []string{"sh", "-c", line}
	var err error
	if b.out, err = os.Create(filepath.Join(b.bundle, "out")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.out.Close() })
	return b
}

func (b *box) options(id string) oci.CreateOptions {
	b.t.Helper()
	j, err := json.Marshal(b.spec)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.bundle, "config.json"), j, 0o600); err != nil {
		b.t.Fatal(err)
	}
	return oci.CreateOptions{ID: id, Bundle: b.bundle, Stdio: stage.Stdio{Out: b.out, Err: b.out}}
}

// create creates the container, and sees to it that nothing of it is left in the end.
func (b *box) create(id string) *oci.Container {
	b.t.Helper()
	c, _, err := b.Create(b.t.Context(), b.options(id))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if c, err := b.Open(id); err == nil {
			if err := c.Delete(true); err != nil {
				b.t.Error(err)
			}
		}
	})
	return c
}

// start creates and starts.
func (b *box) start(id string) *oci.Container {
	b.t.Helper()
	c := b.create(id)
	if err := c.Start(); err != nil {
		b.t.Fatal(err)
	}
	return c
}

// run runs to the end and returns what was printed.
func (b *box) run() string {
	b.t.Helper()
	status, err := b.Run(b.t.Context(), oci.RunOptions{CreateOptions: b.options("once")})
	if err != nil || status != 0 {
		b.t.Fatalf("status %d, %v; printed %q", status, err, b.printed())
	}
	return b.printed()
}

func (b *box) printed() string {
	b.t.Helper()
	out, err := os.ReadFile(b.out.Name())
	if err != nil {
		b.t.Fatal(err)
	}
	return string(out)
}

// await waits for a status.
func await(t *testing.T, c *oci.Container, want specs.ContainerState) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); c.Status() != want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it is %s, and not %s", c.Status(), want)
		}
	}
}

// prints waits until the container has printed something.
func (b *box) prints(text string) {
	b.t.Helper()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(b.printed(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("%q isn't in %q", text, b.printed())
		}
	}
}

// exec runs one more process, which prints where the container's does.
func (b *box) exec(c *oci.Container, line string) int {
	b.t.Helper()
	p, err := c.ProcessConfig()
	if err != nil {
		b.t.Fatal(err)
	}
	p.Args = []string{"sh", "-c", line}
	status, err := c.Exec(b.t.Context(), oci.ExecOptions{Process: p, Stdio: stage.Stdio{Out: b.out, Err: b.out}})
	if err != nil {
		b.t.Fatal(err)
	}
	return status
}
