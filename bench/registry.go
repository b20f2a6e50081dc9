package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/deathsig"
)

// A Registry is Debian's docker-registry on a loopback port, without
// authentication and without TLS.
type Registry struct {
	Addr string // host:port
	cmd  *exec.Cmd
	talk bytes.Buffer
}

// StartRegistry starts one that keeps what it gets below dir, and waits until
// it answers.
func StartRegistry(ctx context.Context, dir string) (_ *Registry, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Registry{Addr: l.Addr().String()}
	if err := l.Close(); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "config.yml")
	err = os.WriteFile(config, fmt.Appendf(nil, `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %q}}
http: {addr: %q}
`, filepath.Join(dir, "data"), r.Addr), 0o644)
	if err != nil {
		return nil, err
	}
	r.cmd = exec.Command("docker-registry", "serve", config)
	r.cmd.Stdout, r.cmd.Stderr = &r.talk, &r.talk
	if err := deathsig.Start(r.cmd); err != nil {
		return nil, err
	}
	const patience = 10 * time.Second
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if answer, err := http.Get("http://" + r.Addr + "/v2/"); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return r, nil
			}
		}
		if ctx.Err() != nil || time.Since(start) > patience {
			return nil, errors.Join(ctx.Err(), r.Close(), fmt.Errorf("docker-registry doesn't answer on %s: %s", r.Addr, r.talk.Bytes()))
		}
	}
}

// Close ends it. What it kept is the caller's to remove.
func (r *Registry) Close() error {
	if err := r.cmd.Process.Signal(unix.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_ = r.cmd.Wait() // it ends by the signal
	return nil
}
