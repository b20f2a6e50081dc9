package runtime

import (
	"context"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/cfs-project/cfs/runtime/stage"
)

// A Bundle is what a container is made of.
type Bundle struct {
	// Dir is what relative bind sources are relative to; may be empty.
	Dir string
	// Root is the root directory, in the calling process's mount namespace. It
	// takes the place of Spec.Root.Path.
	Root string
	Spec *specs.Spec
}

// Options are what a run needs besides the bundle.
type Options struct {
	// Stdio is the caller's. Without a terminal the container's process gets the very
	// same files; nil is /dev/null. With Spec.Process.Terminal it gets a terminal of
	// its own, In and Out are copied to and from it, and if In is a terminal it is
	// in raw mode meanwhile.
	Stdio stage.Stdio
	// Init keeps a small process of ours as PID 1, which passes signals on to the
	// command, its child, and reaps what is left to it. Without, the command is PID 1.
	Init bool
	// MakeCwd makes the working directory if it is missing, as Docker does; the
	// specification has it fail.
	MakeCwd bool
	// Console, if not nil, is given the master of the container's terminal, and owns it;
	// nothing is then copied by Run. The size is Spec.Process.ConsoleSize.
	Console func(master *os.File)
	// Signals are passed on to the container's process once it runs; SIGWINCH sets the
	// terminal's size. May be nil.
	Signals <-chan os.Signal
	// Prestarted is what [Prestart] returned for this specification; nil starts one.
	Prestarted *Init
	// ID is the container's, for whoever a seccomp profile has notified.
	ID string
	// Started, if not nil, is called once the command was executed, with the process
	// id of the container's PID 1 as the caller sees it.
	Started func(pid int)
	// Placed, if not nil, is called with the first process's id while it waits, before it does
	// anything in the container: it is put into its cgroup. linux.resources and
	// linux.cgroupsPath are then the caller's to see to; without, they are refused.
	Placed func(pid int) error
	// NewKeyring gives the container a session keyring of its own, so that it sees nothing of
	// the caller's (session-keyring(7)).
	NewKeyring bool
	// Detach lets a process of [Exec] go on without the caller.
	Detach bool
	// PreserveFDs is how many of the caller's descriptors from 3 on are given to the command.
	PreserveFDs int
	inTurn      bool // see setup
	// Warn, if not nil, is told what the specification wants reported and not failed
	// for: capabilities that can't be granted.
	Warn func(text string)
}

func (o Options) warn(text string) {
	if o.Warn != nil {
		o.Warn(text)
	}
}

// Run runs the bundle's process and returns its exit status, 128+n if signal n
// ended it. The caller is in the mount namespace that has the root, normally the
// stage of a [stage.Start].
//
// If the command could not be executed the error wraps [ErrNotFound] or
// [ErrNotExecutable], and the status is 127 or 126; with any other error it is 125.
// When ctx is done everything in the container is killed, and the error wraps the
// context's cause. Whatever Run returns, no process of the container is left.
func Run(ctx context.Context, b Bundle, o Options) (int, error) {
	status, err := run(ctx, b, o)
	if err != nil {
		return ExitStatus(err), err
	}
	return status, nil
}

func run(ctx context.Context, b Bundle, o Options) (status int, err error) {
	i := o.Prestarted
	if i != nil {
		defer i.Kill()
	}
	if err := validate(b.Spec); err != nil {
		return 0, err
	}
	if err := validateSupervised(b.Spec, o); err != nil {
		return 0, err
	}
	n, err := planOwned(b.Spec.Linux)
	if err != nil {
		return 0, err
	}
	s, err := prepare(b, n, o)
	if err != nil {
		return 0, err
	}
	defer s.close()
	if i == nil {
		if i, err = Prestart(b.Spec, o.Stdio); err != nil {
			return 0, err
		}
		defer i.Kill()
	} else if !i.namespaces.equal(n) {
		return 0, invalid("the prestarted process has other namespaces than the specification")
	}
	return i.execute(ctx, s, b, o)
}

// execute sends init its configuration, and waits for the end of the command.
func (i *Init) execute(ctx context.Context, s *setup, b Bundle, o Options) (status int, err error) {
	t := newTerminal(o.Stdio)
	if s.config.Terminal {
		s.config.Size = t.size(s.config.Size)
	}
	stop := context.AfterFunc(ctx, i.signalKill)
	defer stop()
	defer t.detach()
	if err := i.begin(ctx, s, b, o, t); err != nil {
		return 0, err
	}
	f := forwarder{init: i, terminal: t, emulates: !o.Init && !s.config.Enter}
	go f.forward(o.Signals)
	status = i.wait()
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	return f.status(status), nil
}

// begin sends init its configuration, and returns when the command was executed.
func (i *Init) begin(ctx context.Context, s *setup, b Bundle, o Options, t *terminal) error {
	if o.Placed != nil {
		if err := o.Placed(i.Pid()); err != nil {
			return i.failed(ctx, err)
		}
	}
	if err := s.planCgroups(i.Pid()); err != nil {
		return err
	}
	err := s.send(i.sock)
	s.close()
	if err != nil {
		return i.failed(ctx, fmt.Errorf("send configuration: %w", err))
	}
	master, err := i.awaitExec(o.warn, func(fd int) error { return i.handListener(fd, b, o.ID) })
	switch {
	case master < 0:
	case o.Console != nil:
		o.Console(os.NewFile(uintptr(master), "console"))
	default:
		if err := t.attach(master); err != nil {
			return err
		}
	}
	if err != nil {
		return i.failed(ctx, err)
	}
	if o.Started != nil {
		o.Started(i.Pid())
	}
	return nil
}
