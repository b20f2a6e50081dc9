package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

// newContainerGroup is `cfs container`, the long forms of what is done with containers.
func newContainerGroup(t *terminal, g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "container COMMAND",
		Short: "Manage containers",
		Args:  groupArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	ls := newPs(t, g)
	ls.Use, ls.Aliases = "ls [flags]", []string{"list", "ps"}
	cmd.AddCommand(newRun(t, g), ls, newRm(t, g), newInspect(t, g, "container"), newContainerPrune(t, g))
	cmd.AddCommand(build(containerCommands(), t, g)...)
	return cmd
}

// containerCommands are those that have one name at both places.
func containerCommands() []command {
	return []command{
		{"create", newCreate}, {"start", newStart}, {"stop", newStop}, {"restart", newRestart}, {"kill", newKill}, {"wait", newWait},
		{"exec", newExec}, {"attach", newAttach}, {"logs", newLogs}, {"top", newTop}, {"pause", newPause}, {"unpause", newUnpause},
		{"stats", newStats}, {"update", newUpdate},
		{"rename", newRename}, {"port", newPort}, {"diff", newDiff}, {"commit", newCommit}, {"export", newExport}, {"cp", newCopy},
	}
}

// eachContainer does something with every container that is named, and says its name.
func eachContainer(t *terminal, args []string, do func(name string) error) error {
	return each(t, args, func(name string) error {
		err := do(name)
		if err == nil {
			t.print("%s\n", name)
		}
		return err
	})
}

// errMissing is of what was to be removed and isn't there, which somebody was told.
var errMissing = errors.New("no failure")

// each does something with everything that is named, and goes on where it fails.
func each(t *terminal, args []string, do func(name string) error) error {
	failed := false
	for _, name := range args {
		if err := do(name); err != nil && !errors.Is(err, errMissing) {
			t.fail(err)
			failed = true
		}
	}
	if failed {
		return &exitError{status: statusFailed}
	}
	return nil
}

func newStart(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.StartOptions
	cmd := &cobra.Command{
		Use:     "start [flags] CONTAINER...",
		Short:   "Start containers that were created or have ended",
		Example: "  cfs start web\n  cfs start -ai shell",
		Args:    atLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := g.open()
			if err != nil {
				return err
			}
			o.Debug = g.debug
			if o.Attach || o.Interactive {
				if len(args) > 1 {
					return &usageError{errors.New("you cannot start and attach multiple containers at once"), cmd.CommandPath()}
				}
				o.Attach = true
				return exited(imagecmd.Start(cmd.Context(), st, args[0], o, t.out))
			}
			var failed []string
			for _, name := range args {
				status, err := imagecmd.Start(cmd.Context(), st, name, o, t.out)
				if err != nil {
					t.fail(err)
				}
				if err != nil || status != 0 {
					failed = append(failed, name)
				}
			}
			if len(failed) > 0 {
				return fmt.Errorf("failed to start containers: %s", strings.Join(failed, ", "))
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.Attach, "attach", "a", false, "stay with its output until it ends, with its exit status")
	f.BoolVarP(&o.Interactive, "interactive", "i", false, "stay with its standard input too")
	return cmd
}

// exited turns an exit status into what main ends with.
func exited(status int, err error) error {
	if errors.Is(err, imagecmd.ErrDetached) {
		return nil
	}
	if err != nil && status == 0 { // it ended well, or runs, but who asked isn't told
		status = statusUsage
	}
	if err != nil || status != 0 {
		return &exitError{status, err}
	}
	return nil
}

// stopFlags are those of stop and restart.
func stopFlags(cmd *cobra.Command, o *imagecmd.StopOptions) (read func()) {
	f := cmd.Flags()
	f.StringVarP(&o.Signal, "signal", "s", "", "the `SIGNAL` that asks it to end (default: the container's, or TERM)")
	timeout := f.IntP("timeout", "t", imagecmd.DefaultStopTimeout, "kill it after so many `SECONDS` (-1: never)")
	f.IntVar(timeout, "time", imagecmd.DefaultStopTimeout, "the same as --timeout")
	_ = f.MarkHidden("time") // it exists
	return func() {
		if f.Changed("timeout") || f.Changed("time") {
			o.Timeout = timeout
		}
	}
}

func newStop(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.StopOptions
	var read func()
	cmd := &cobra.Command{
		Use:     "stop [flags] CONTAINER...",
		Short:   "Stop containers: ask them to end, and kill them when they don't",
		Example: "  cfs stop -t 3 web",
		Args:    atLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := g.dir()
			if err != nil {
				return err
			}
			read()
			return eachContainer(t, args, func(name string) error { return imagecmd.Stop(cmd.Context(), dir, name, o) })
		},
	}
	read = stopFlags(cmd, &o)
	return cmd
}

func newRestart(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.StopOptions
	var read func()
	cmd := &cobra.Command{
		Use:     "restart [flags] CONTAINER...",
		Short:   "Stop containers and start them again",
		Example: "  cfs restart web",
		Args:    atLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := g.open()
			if err != nil {
				return err
			}
			read()
			return each(t, args, func(name string) error { return imagecmd.Restart(cmd.Context(), st, name, o, t.out) })
		},
	}
	read = stopFlags(cmd, &o)
	return cmd
}

func newKill(t *terminal, g *globals) *cobra.Command {
	var sig string
	cmd := &cobra.Command{
		Use:     "kill [flags] CONTAINER...",
		Short:   "Send a signal to containers, KILL by default",
		Example: "  cfs kill -s HUP web",
		Args:    atLeast(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := g.dir()
			if err != nil {
				return err
			}
			return eachContainer(t, args, func(name string) error { return imagecmd.Kill(dir, name, sig) })
		},
	}
	cmd.Flags().StringVarP(&sig, "signal", "s", "", "the `SIGNAL`, by name or number")
	return cmd
}

func newWait(t *terminal, g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "wait CONTAINER...",
		Short:   "Wait until containers have ended, and print their exit statuses",
		Example: "  cfs wait job",
		Args:    atLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := g.dir()
			if err != nil {
				return err
			}
			return each(t, args, func(name string) error {
				status, err := imagecmd.Wait(cmd.Context(), dir, name)
				if err == nil {
					t.print("%s\n", strconv.Itoa(status))
				}
				return err
			})
		},
	}
}

func newPause(t *terminal, g *globals) *cobra.Command {
	return pauseCommand(t, g, true, "pause CONTAINER...", "Stop all processes of containers where they are")
}

func newUnpause(t *terminal, g *globals) *cobra.Command {
	return pauseCommand(t, g, false, "unpause CONTAINER...", "Let the processes of paused containers go on")
}

func pauseCommand(t *terminal, g *globals, stop bool, use, short string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: atLeast(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := g.dir()
			if err != nil {
				return err
			}
			return eachContainer(t, args, func(name string) error { return imagecmd.Pause(dir, name, stop) })
		},
	}
}

func newRename(_ *terminal, g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "rename CONTAINER NEW_NAME",
		Short:   "Give a container another name",
		Example: "  cfs rename web old-web",
		Args:    exactly(2),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := g.dir()
			if err != nil {
				return err
			}
			return imagecmd.Rename(dir, args[0], args[1])
		},
	}
}

func newTop(t *terminal, g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "top CONTAINER [PS-OPTION...]",
		Short:   "List the processes of a container",
		Example: "  cfs top web\n  cfs top web -o pid,args",
		Args:    atLeast(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := g.dir()
			if err != nil {
				return err
			}
			return imagecmd.Top(dir, args[0], args[1:], t.out)
		},
	}
	flagsEnd(cmd.Flags())
	return cmd
}

func newLogs(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.LogsOptions
	cmd := &cobra.Command{
		Use:     "logs [flags] CONTAINER",
		Short:   "Show what a container has written",
		Example: "  cfs logs -f --tail 20 web\n  cfs logs --since 10m -t web",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := g.dir()
			if err != nil {
				return err
			}
			err = imagecmd.Logs(cmd.Context(), dir, args[0], o, t.out, t.err)
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.Follow, "follow", "f", false, "go on until it ends")
	f.StringVarP(&o.Tail, "tail", "n", "all", "only the last `NUMBER` of lines")
	f.StringVar(&o.Since, "since", "", "only what came after a `TIME`, or an age such as 10m")
	f.StringVar(&o.Until, "until", "", "only what came before a `TIME`, or an age such as 10m")
	f.BoolVarP(&o.Timestamps, "timestamps", "t", false, "say when each line came")
	f.BoolVar(&o.Details, "details", false, "begin each line with a blank, as Docker does where nothing is kept beside it")
	return cmd
}

func newAttach(_ *terminal, g *globals) *cobra.Command {
	var o imagecmd.AttachOptions
	cmd := &cobra.Command{
		Use:     "attach [flags] CONTAINER",
		Short:   "Connect with the standard files of a running container",
		Long:    "Connect with the standard files of a running container, until it ends or the keys that\ndetach are typed (with a terminal: ctrl-p, ctrl-q).",
		Example: "  cfs attach shell",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := g.dir()
			if err != nil {
				return err
			}
			return exited(imagecmd.Attach(cmd.Context(), dir, args[0], o))
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.NoStdin, "no-stdin", false, "leave its standard input alone")
	f.BoolVar(&o.SigProxy, "sig-proxy", true, "pass signals on to its process")
	f.StringVar(&o.DetachKeys, "detach-keys", "", "the `KEYS` that detach, e.g. ctrl-a,d")
	return cmd
}

func newExec(_ *terminal, g *globals) *cobra.Command {
	var o imagecmd.ExecOptions
	cmd := &cobra.Command{
		Use:     "exec [flags] CONTAINER COMMAND [ARG...]",
		Short:   "Run one more command in a running container",
		Example: "  cfs exec -it web sh\n  cfs exec -u www-data -e LEVEL=3 web ./check",
		Args:    atLeast(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := g.dir()
			if err != nil {
				return err
			}
			o.Command = args[1:]
			return exited(imagecmd.Exec(cmd.Context(), dir, args[0], o))
		},
	}
	f := cmd.Flags()
	flagsEnd(f)
	f.BoolVarP(&o.Detach, "detach", "d", false, "don't wait for it")
	f.BoolVarP(&o.Interactive, "interactive", "i", false, "keep standard input open")
	f.BoolVarP(&o.TTY, "tty", "t", false, "give it a terminal")
	f.StringArrayVarP(&o.Env, "env", "e", nil, "set an environment variable `KEY=VALUE`")
	f.StringArrayVar(&o.EnvFiles, "env-file", nil, "set the environment variables of a `FILE`")
	f.StringVarP(&o.Workdir, "workdir", "w", "", "working directory `DIR` inside the container")
	f.StringVarP(&o.User, "user", "u", "", "user, by name or ID: `USER[:GROUP]`")
	f.BoolVar(&o.Privileged, "privileged", false, "with all capabilities that cfs itself has")
	f.StringVar(&o.DetachKeys, "detach-keys", "", "the `KEYS` that detach, e.g. ctrl-a,d")
	return cmd
}
