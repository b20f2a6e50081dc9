package main

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A container's init leaves before what it does not need is prepared: each of these takes
// longer than all that init waits for, or comes after what does. It is no longer so when
// package runtime imports one of them, or what is initialized after them.
func TestInitLeavesEarly(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(self)
	cmd.Args = []string{"cfs-init"}
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1") // package runtime of Go, "Environment Variables"
	cmd.Stderr = &said
	if err := cmd.Run(); err == nil || !strings.Contains(said.String(), "cfs-init: this name is for cfs itself") {
		t.Fatalf("it is no init: %v\n%s", err, &said)
	}
	var prepared []string
	for line := range strings.Lines(said.String()) {
		if name, ok := strings.CutPrefix(line, "init "); ok {
			name, _, _ = strings.Cut(name, " ")
			prepared = append(prepared, name)
		}
	}
	if !slices.Contains(prepared, "golang.org/x/sys/unix") {
		t.Fatalf("no trace:\n%s", &said)
	}
	for _, late := range []string{
		"github.com/distribution/reference", // regular expressions, a quarter of all that cfs prepares
		"github.com/opencontainers/go-digest",
		"oras.land/oras-go/v2/registry",
		"gvisor.dev/gvisor/pkg/tcpip/stack",
		"net",
		"net/http",
	} {
		if slices.Contains(prepared, late) {
			t.Errorf("%s is prepared for a container's init", late)
		}
	}
}
