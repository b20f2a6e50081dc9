package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/cfs-project/cfs/bench"
)

// A tool is a program with Docker's command line, and a store of its own.
type tool struct {
	name  string
	plain []string // flags of pull that allow a registry without TLS
	run   func(ctx context.Context, args ...string) (time.Duration, error)
	reset func() error // removes the store
}

// tools are cfs and, if it is installed, podman, their stores below dir.
func (o options) tools(dir string) []tool {
	store := filepath.Join(dir, "cfs")
	p := bench.Podman{Dir: filepath.Join(dir, "podman")}
	tools := []tool{
		{name: cfs, reset: func() error { return os.RemoveAll(store) }, run: func(ctx context.Context, args ...string) (time.Duration, error) {
			return bench.Timed(ctx, o.cfs, append([]string{"--root", store}, args...)...)
		}},
		{name: podman, plain: []string{"--tls-verify=false"}, reset: p.Remove, run: func(ctx context.Context, args ...string) (time.Duration, error) {
			return p.Timed(ctx, args...)
		}},
	}
	if _, err := exec.LookPath("podman"); err != nil {
		return tools[:1]
	}
	return tools
}

// resetAll removes all stores.
func resetAll(tools []tool) error {
	var errs []error
	for _, t := range tools {
		errs = append(errs, t.reset())
	}
	return errors.Join(errs...)
}
