package imagecmd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/imagecmd/dockerfile"
	"github.com/cfs-project/cfs/imagecmd/store"
	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

// run does a RUN: a container of the stage's image so far, whose change is the layer.
func (s *stageBuild) run(ctx context.Context, c *instructions.RunCommand) error {
	script, err := dockerfile.ScriptOf(c, s.config.Config.Shell)
	if err != nil {
		return err
	}
	if err := s.needImage(ctx); err != nil {
		return err
	}
	args := s.scope.Args(s.config.Config.Env)
	text := strings.Join(script.Args, " ")
	if len(args) > 0 {
		text = fmt.Sprintf("|%d %s %s", len(args), strings.Join(args, " "), text)
	}
	if script.File != nil {
		text += "\n" + script.File.Data
	}
	mounts, err := s.runMounts(ctx, c)
	if err != nil {
		return err
	}
	step := buildStep{createdBy: text, depends: mounts.depends}
	network, security := instructions.GetNetwork(c), instructions.GetSecurity(c)
	if network != instructions.NetworkDefault {
		step.depends = append(step.depends, "network "+network)
	}
	if network == instructions.NetworkHost && !s.b.o.Run.HostNetwork && s.b.o.Run.Network != network {
		return hint.With(errors.New("RUN --network=host is not allowed"), "--allow network.host allows it")
	}
	if security == instructions.SecurityInsecure {
		if !s.b.o.Run.Insecure {
			return hint.With(errors.New("RUN --security=insecure is not allowed"), "--allow security.insecure allows it")
		}
		step.depends = append(step.depends, "insecure")
	}
	step.layer = func(ctx context.Context, in *store.Ingest) (*store.Layer, error) {
		o := s.runOptions(script, slices.Concat(args, s.scope.Proxies(s.config.Config.Env)))
		if network != instructions.NetworkDefault {
			o.Network = network
		}
		o.Privileged = o.Privileged || security == instructions.SecurityInsecure
		return s.execute(ctx, in, o, mounts, script)
	}
	return s.do(ctx, step)
}

// needImage makes an image of nothing where a stage on scratch runs something first:
// its mounts may hold all that it needs.
func (s *stageBuild) needImage(ctx context.Context) error {
	if s.image.ID != "" {
		return nil
	}
	in, err := s.st.Begin(ctx)
	if err != nil {
		return err
	}
	s.keep(in)
	target, _, err := newImage{Config: s.config}.putTarget(ctx, in)
	if err == nil {
		s.image, err = s.st.Image(ctx, target)
	}
	return err
}

// runOptions is how a RUN runs but for its mounts.
func (s *stageBuild) runOptions(script dockerfile.Script, env []string) RunOptions {
	none, run := "", s.b.o.Run
	o := RunOptions{
		Image: s.image.ID.String(), Entrypoint: &none, Command: script.Args, Env: env, Driver: run.Driver, Remove: true, Debug: s.b.o.Debug,
		ContainerOptions: ContainerOptions{
			Network: cmp.Or(run.Network, NetworkDefault), InitSet: true, Privileges: true, Log: LogOptions{None: true},
			ShapeOptions: run.ShapeOptions, GroupOptions: run.GroupOptions,
		},
		places: mountPlaces{},
	}
	for v := range s.config.Config.Volumes {
		o.places.Volumes = append(o.places.Volumes, path.Clean("/"+v))
	}
	slices.Sort(o.places.Volumes)
	o.Mounts = slices.Clone(o.Mounts)
	return o
}

// execute runs a container and makes a layer of what it changed.
func (s *stageBuild) execute(
	ctx context.Context, in *store.Ingest, o RunOptions, mounts *runMounts, script dockerfile.Script,
) (layer *store.Layer, err error) {
	if err := mounts.open(ctx, &o, script); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, mounts.close()) }()
	c, chain, release, err := newContainer(ctx, s.st, o)
	if err != nil {
		return nil, err
	}
	defer release()
	s.out.running(c.ID)
	req := monitorRequest{Root: s.st.Root(), ID: c.ID, Chain: chain, Attach: true, Keep: true, Told: s.b.tell(o.Network), Files: mounts.files, Env: mounts.env, Debug: s.b.o.Debug}
	status, err := c.runFor(ctx, req, s.out, s.out.errors())
	if err != nil || ctx.Err() != nil {
		return nil, errors.Join(endedBy(ctx, err), s.removeContainer(c))
	}
	if status != 0 {
		return nil, s.failed(ctx, c, req, script, status)
	}
	r, err := readingOf(ctx, s.st, c)
	if err != nil {
		return nil, errors.Join(err, s.removeContainer(c))
	}
	layer, err = r.layer(ctx, in, s.b.epoch, CommitOptions{
		Note: func(path, what string) { s.out.printf("[Warning] %s: %s\n", path, what) },
	})
	r.close()
	if s.b.o.Run.Keep && err == nil {
		return layer, s.keepContainer(c)
	}
	if err = errors.Join(err, s.removeContainer(c)); err == nil {
		s.out.removed(c.ID)
	}
	return layer, err
}

// tell tells whether of a step's network all was said already: the first with one says it
// for all.
func (b *builder) tell(network string) (told bool) {
	if network != NetworkDefault && network != NetworkBridge {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	told, b.told = b.told, true
	return told
}

// endedBy is why a container ended that nobody let run on: the build's reason, if it has one.
func endedBy(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// failed is a command that failed. Its container stays, as Docker's does, unless it is to go.
func (s *stageBuild) failed(ctx context.Context, c *Container, req monitorRequest, script dockerfile.Script, status int) error {
	text := fmt.Sprintf("The command '%s' returned a non-zero code: %d", strings.Join(script.Args, " "), status)
	failure := error(&BuildError{Text: text, Status: status})
	if s.image.ID != "" {
		failure = hint.With(failure, "cfs run -it "+s.image.ID.Encoded()[:12]+" sh enters what the step began with; --on-error=shell what it left")
	}
	if s.b.o.OnError == "shell" {
		s.b.print.end(failure)
		if err := s.enter(c, req); err != nil {
			failure = errors.Join(failure, err)
		}
	}
	if s.b.o.Run.ForceRm {
		err := s.removeContainer(c)
		if err == nil {
			s.out.removed(c.ID)
		}
		return errors.Join(failure, err)
	}
	return errors.Join(failure, s.keepContainer(c))
}

// enter gives the person a shell in the container of a step that failed.
func (s *stageBuild) enter(c *Container, req monitorRequest) error {
	if err := c.amend(func(c *Container) {
		c.Process.Args, c.Command = []string{s.shell()[0]}, []string{s.shell()[0]}
		c.Options.TTY, c.Options.Interactive = true, true
	}); err != nil {
		return err
	}
	req.Interactive = true
	mapping, _ := userns.Detect()
	payload, err := json.Marshal(req)
	if err != nil {
		return err
	}
	p, err := stage.Start(mapping, monitorStage, payload, stage.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	if err != nil {
		return err
	}
	defer p.Uncatch()
	_, err = p.Attend()
	return err
}

// keepContainer lets a container stay that was to go, without what was only mounted
// for its step.
func (s *stageBuild) keepContainer(c *Container) error {
	err := c.amend(func(c *Container) { c.AutoRemove, c.Views, c.Options.Mounts = false, nil, s.b.o.Run.Mounts })
	c.close()
	return err
}

// removeContainer removes a container that this process holds.
func (s *stageBuild) removeContainer(c *Container) error {
	c.close()
	err := RemoveContainer(context.Background(), s.st.Root(), c.ID, slog.New(slog.DiscardHandler))
	if errors.Is(err, ErrNoContainer) { // another one has swept it
		return nil
	}
	return err
}

// runFor runs the container's process to its end, with its output copied to out and
// errs. It is killed when ctx ends.
func (c *Container) runFor(ctx context.Context, req monitorRequest, out, errs io.Writer) (int, error) {
	mapping, problems := userns.Detect()
	for _, p := range problems {
		if p.Fatal {
			return runtime.StatusFailed, hint.With(p, p.Hint)
		}
	}
	payload, err := json.Marshal(req)
	if err != nil {
		return runtime.StatusFailed, err
	}
	var stdio stage.Stdio
	wait, err := copyOutput(&stdio, out, errs)
	if err != nil {
		return runtime.StatusFailed, err
	}
	p, err := stage.Start(mapping, monitorStage, payload, stdio)
	stdio.Out.Close()
	stdio.Err.Close()
	if err != nil {
		wait()
		return runtime.StatusFailed, err
	}
	p.Uncatch() // the build itself ends by them
	stop := context.AfterFunc(ctx, p.Kill)
	status, err := p.Wait()
	stop()
	wait()
	return status, err
}

// copyOutput makes pipes for a stage, whose ends the caller closes, and copies what
// comes out of them until wait. Of what is there at once the output goes first: what
// it was written in the order of, two pipes can't tell.
func copyOutput(stdio *stage.Stdio, out, errs io.Writer) (wait func(), err error) {
	var ours [2]*os.File
	for i, theirs := range []**os.File{&stdio.Out, &stdio.Err} {
		if ours[i], *theirs, err = os.Pipe(); err != nil {
			if i > 0 {
				ours[0].Close()
				stdio.Out.Close()
			}
			return nil, err
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		copyBoth(ours, [2]io.Writer{out, errs})
	}()
	return func() { <-done }, nil
}

// copyBoth copies two pipes, which it closes, to their ends.
func copyBoth(from [2]*os.File, to [2]io.Writer) {
	var fds [2]unix.PollFd
	for i, f := range from {
		defer f.Close()
		fds[i] = unix.PollFd{Fd: int32(f.Fd()), Events: unix.POLLIN}
	}
	b := make([]byte, 32<<10)
	for fds[0].Fd >= 0 || fds[1].Fd >= 0 {
		if _, err := unix.Poll(fds[:], -1); err != nil && err != unix.EINTR {
			return
		}
		for i := range fds {
			if fds[i].Fd < 0 || fds[i].Revents == 0 {
				continue
			}
			n, err := unix.Read(int(fds[i].Fd), b)
			if err == unix.EINTR {
				continue
			}
			if err != nil || n == 0 {
				fds[i].Fd = -1 // which poll passes over
				continue
			}
			_, _ = to[i].Write(b[:n])
		}
	}
}
