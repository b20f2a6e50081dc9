package imagecmd

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// The socket by which a step reaches an agent is where the next command sweeps what a
// killed build leaves, however long the store's path is.
func TestAgentSocketIsSwept(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	agent, err := net.Listen("unix", filepath.Join(temp, "a"))
	if err != nil {
		t.Skipf("SKIP: no socket at a path of that length: %v", err)
	}
	defer agent.Close()
	go func() {
		for {
			c, err := agent.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "here")
			c.Close()
		}
	}()
	root := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	st := openStore(t, root)
	secrets, err := newSecrets(nil, []BuildSSH{{ID: "default", Socket: agent.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	m := &runMounts{s: &stageBuild{b: &builder{st: st, secrets: secrets}}}
	o := RunOptions{places: mountPlaces{}}
	if err := m.agent(context.Background(), &instructions.Mount{Type: instructions.MountTypeSSH}, &o); err != nil {
		t.Fatal(err)
	}
	at := o.views[0].Host
	if !strings.HasPrefix(at, filepath.Join(root, "tmp")+"/") {
		t.Errorf("the socket is %s", at)
	}
	addr, done, err := socketAddress(filepath.Dir(at), filepath.Base(at))
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.DialUnix("unix", nil, addr)
	done()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); string(b) != "here" {
		t.Errorf("the agent said %q, %v", b, err)
	}
	c.Close()
	if err := m.close(); err != nil {
		t.Error(err)
	}
	noTemps(t, st)
	if left, err := os.ReadDir(temp); err != nil || len(left) != 1 {
		t.Errorf("left in %s: %v, %v", temp, left, err)
	}
}
