package imagecmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/stage"
)

// watchHealth checks the container's health until it ends, if it is to be.
func (ct *controller) watchHealth() {
	check := ct.c.Options.Health
	if !check.wanted() {
		return
	}
	h := &Health{Status: HealthStarting, Log: []HealthResult{}}
	ct.saveHealth(h) // before anybody is told that it runs
	ct.serving.Add(1)
	go func() {
		defer ct.serving.Done()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go func() {
			select {
			case <-ct.ended:
				cancel()
			case <-ctx.Done():
			}
		}()
		began := time.Now()
		for {
			select {
			case <-ct.ended:
				return
			case <-time.After(h.wait(check, time.Since(began))):
			}
			if ct.isPaused() {
				continue
			}
			r := ct.checkHealth(ctx, check)
			if ctx.Err() != nil {
				return // it tells nothing of a container that has ended meanwhile
			}
			h.add(r, check, began)
			ct.saveHealth(h)
		}
	}()
}

func (ct *controller) isPaused() bool {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	return ct.paused != nil
}

// saveHealth tells others. That a disk is full must not end the container.
func (ct *controller) saveHealth(h *Health) {
	if err := writeJSON(ct.c.path(containerHealth), h); err != nil {
		ct.log.Warn("container health", "error", err)
	}
}

// checkHealth runs the check in the container, as exec would.
func (ct *controller) checkHealth(ctx context.Context, check *Healthcheck) HealthResult {
	r := HealthResult{Start: time.Now(), ExitCode: -1}
	limit := orDefault(check.Timeout, healthTimeout)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out := &boundedBuffer{most: maxHealthOutput}
	status, err := ct.runCheck(ctx, check.args(ct.c.Options.HealthShell), out)
	r.End, r.Output = time.Now(), out.String()
	switch {
	case ctx.Err() == context.DeadlineExceeded:
		if text := fmt.Sprintf("Health check exceeded timeout (%v)", limit); r.Output == "" {
			r.Output = text
		} else {
			r.Output = text + ": " + r.Output
		}
	case err != nil:
		r.Output += err.Error()
	default:
		r.ExitCode = status
	}
	return r
}

func (ct *controller) runCheck(ctx context.Context, args []string, out io.Writer) (int, error) {
	pid, spec, err := ct.running()
	if err != nil {
		return 0, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer read.Close()
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(out, read)
	}()
	process, err := ct.execProcess(spec, controlRequest{Exec: &execRequest{Args: args}})
	var status int
	if err == nil {
		own := *spec
		own.Process = process
		begun := ct.makeRoom()
		defer begun()
		status, err = runtime.Exec(ctx, pid, &own, runtime.Options{
			Stdio: stage.Stdio{Out: write, Err: write}, ID: ct.c.ID, Placed: ct.place, Started: func(int) { begun() },
		})
	}
	write.Close()
	// What it has left in the background may keep the pipe.
	_ = read.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	<-copied
	return status, err
}

// A boundedBuffer keeps the beginning of what is written to it.
type boundedBuffer struct {
	most int
	b    bytes.Buffer
	cut  bool
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	n := len(p)
	if room := b.most - b.b.Len(); n > room {
		p, b.cut = p[:room], true
	}
	b.b.Write(p)
	return n, nil
}

// String is what was kept, and "..." if that isn't all.
func (b *boundedBuffer) String() string {
	if b.cut {
		return b.b.String() + "..."
	}
	return b.b.String()
}
