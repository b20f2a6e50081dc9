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
	list := prepared(t, "cfs-init: this name is for cfs itself", "cfs-init")
	for _, late := range []string{
		"github.com/opencontainers/go-digest",
		"gvisor.dev/gvisor/pkg/tcpip/stack",
		"net",
		"net/http",
	} {
		if slices.Contains(list, late) {
			t.Errorf("%s is prepared for a container's init", late)
		}
	}
}

// What took long to prepare, at the start of every command and every stage, and was
// replaced for that, does not come back by way of another package.
func TestNeverPrepared(t *testing.T) {
	list := prepared(t, "cfs version", "cfs", "--version")
	for name, instead := range map[string]string{
		"github.com/distribution/reference": "internal/reference",
		"oras.land/oras-go/v2/registry":     "imagecmd/remote/auth",
	} {
		if slices.Contains(list, name) {
			t.Errorf("%s is prepared for every command: %s is there instead", name, instead)
		}
	}
}

// prepared are the packages that this program initializes when it is called so, which
// makes it say something.
func prepared(t *testing.T, says string, args ...string) []string {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(self)
	cmd.Args = args
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1") // package runtime of Go, "Environment Variables"
	cmd.Stdout, cmd.Stderr = &said, &said
	_ = cmd.Run() // what it said counts
	if !strings.Contains(said.String(), says) {
		t.Fatalf("it is not %s:\n%s", args[0], &said)
	}
	var list []string
	for line := range strings.Lines(said.String()) {
		if name, ok := strings.CutPrefix(line, "init "); ok {
			name, _, _ = strings.Cut(name, " ")
			list = append(list, name)
		}
	}
	if !slices.Contains(list, "golang.org/x/sys/unix") {
		t.Fatalf("no trace:\n%s", &said)
	}
	return list
}
