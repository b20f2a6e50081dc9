package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/oci"
	"github.com/cfs-project/cfs/runtime/stage"
)

// runtimeNames are the names by which cfs is an OCI runtime itself.
var runtimeNames = map[string]bool{"cfs-runtime": true, "crun": true}

// runtimeGlobals are the flags that every command of the runtime has, crun's and runc's.
type runtimeGlobals struct {
	root          string
	log           string
	logFormat     string
	debug         bool
	cgroupManager string
	systemdCgroup bool
	rootless      string

	t      *terminal
	logger *runtimeLog
}

// newRuntime is the OCI runtime's command line: `cfs runtime`, and cfs itself under the
// names of runtimeNames.
func newRuntime(t *terminal, name string) *cobra.Command {
	g := &runtimeGlobals{t: t}
	cmd := &cobra.Command{
		Use:   name + " COMMAND",
		Short: "Run bundles as an OCI runtime: what podman, buildah and containerd call",
		Long: `Run bundles of the OCI runtime specification 1.3 and older: a directory with a
config.json and a root. Engines call it in place of runc or crun; it takes the
options of both. The same program is such a runtime when it is called by the name
cfs-runtime or crun.

A container's state is kept in a directory of its own below --root.`,
		Example: `  cfs runtime spec --bundle B
  cfs runtime create --bundle B --console-socket S box
  cfs runtime start box
  podman --runtime /usr/local/bin/cfs-runtime run alpine true`,
		Version: version,
		Args:    groupArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if is, err := cmd.Flags().GetBool("V"); err != nil || is { // crun's second letter for it
				t.print("%s", runtimeVersion())
				return err
			}
			return cmd.Help()
		},
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			return g.begin(cmd, args)
		},
	}
	cmd.SetVersionTemplate(runtimeVersion())
	cmd.Flags().BoolP("V", "V", false, "print the version")
	cmd.Flags().Lookup("V").Hidden = true
	f := cmd.PersistentFlags()
	f.StringVar(&g.root, "root", "", "directory of the containers' state `DIR`")
	f.StringVar(&g.log, "log", "", "file that errors and warnings are appended to `FILE`")
	f.StringVar(&g.logFormat, "log-format", "text", "format of that file: text or json")
	f.BoolVar(&g.debug, "debug", false, "log what is being done")
	f.StringVar(&g.cgroupManager, "cgroup-manager", "cgroupfs", "who makes cgroups: cgroupfs, systemd, or disabled")
	f.BoolVar(&g.systemdCgroup, "systemd-cgroup", false, "the same as --cgroup-manager=systemd")
	f.StringVar(&g.rootless, "rootless", "auto", "do without cgroups that can't be made: true, false or auto")
	cmd.AddCommand(
		newRuntimeCreate(g), newRuntimeRun(g), newRuntimeStart(g), newRuntimeState(g), newRuntimeKill(g), newRuntimeDelete(g),
		newRuntimeList(g), newRuntimeSpec(g), newRuntimeFeatures(g),
		newRuntimeExec(g), newRuntimePs(g), newRuntimePause(g, "pause"), newRuntimePause(g, "resume"), newRuntimeUpdate(g),
	)
	refuseMissing(cmd)
	return cmd
}

func runtimeVersion() string {
	return "cfs-runtime version " + version + "\nspec: " + specs.Version + "\n"
}

// begin checks the flags of all commands, and opens the log.
func (g *runtimeGlobals) begin(cmd *cobra.Command, args []string) error {
	switch g.cgroupManager {
	case "cgroupfs", "systemd", "disabled":
	default:
		return &usageError{fmt.Errorf("--cgroup-manager %q: cgroupfs, systemd or disabled", g.cgroupManager), cmd.CommandPath()}
	}
	switch g.rootless {
	case "auto", "true", "false":
	default:
		return &usageError{fmt.Errorf("--rootless %q: true, false or auto", g.rootless), cmd.CommandPath()}
	}
	var err error
	if g.logger, err = openRuntimeLog(g.log, g.logFormat, g.debug); err != nil {
		return &usageError{err, cmd.CommandPath()}
	}
	g.logger.line("debug", cmd.CommandPath()+" "+strings.Join(args, " "))
	return nil
}

func (g *runtimeGlobals) runtime() (*oci.Runtime, error) {
	root := g.root
	if root == "" {
		root = oci.DefaultRoot()
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	r := &oci.Runtime{
		Root: root, Systemd: g.systemdCgroup || g.cgroupManager == "systemd", NoCgroups: g.cgroupManager == "disabled",
		Warn: func(s string) {
			g.logger.line("warning", s)
			g.t.note("cfs: warning: %s", s)
		},
	}
	if g.rootless != "auto" {
		is := g.rootless == "true"
		r.Rootless = &is
	}
	return r, nil
}

// open finds the container that a command is about.
func (g *runtimeGlobals) open(id string) (*oci.Container, error) {
	r, err := g.runtime()
	if err != nil {
		return nil, err
	}
	return r.Open(id)
}

// command is a command of the runtime: what goes wrong is logged, too.
func (g *runtimeGlobals) command(c *cobra.Command, run func(args []string) error) *cobra.Command {
	c.RunE = func(_ *cobra.Command, args []string) error {
		err := run(args)
		var exit *exitError
		if err != nil && !(errors.As(err, &exit) && exit.err == nil) {
			g.logger.line("error", err.Error())
		}
		return err
	}
	return c
}

// createFlags are those of create and run.
func createFlags(cmd *cobra.Command, o *oci.CreateOptions) func() error {
	var noPivot, noKeyring bool
	f := cmd.Flags()
	f.StringVarP(&o.Bundle, "bundle", "b", ".", "the bundle: a directory with config.json `DIR`")
	f.StringVar(&o.PIDFile, "pid-file", "", "file to write the process id to `FILE`")
	f.StringVar(&o.ConsoleSocket, "console-socket", "", "socket to send the terminal's other side to `SOCKET`")
	f.IntVar(&o.PreserveFDs, "preserve-fds", 0, "give the process `N` more descriptors, from 3 on")
	f.BoolVar(&noPivot, "no-pivot", false, "refused: the root is always changed by pivot_root")
	f.BoolVar(&noKeyring, "no-new-keyring", false, "keep the caller's session keyring")
	return func() error {
		if noPivot {
			return fmt.Errorf("--no-pivot is not supported: a process could get out of a root changed without pivot_root")
		}
		if o.PreserveFDs < 0 {
			return fmt.Errorf("--preserve-fds %d is negative", o.PreserveFDs)
		}
		o.NewKeyring = !noKeyring
		o.Stdio = stage.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
		return nil
	}
}

func newRuntimeCreate(g *runtimeGlobals) *cobra.Command {
	var o oci.CreateOptions
	cmd := &cobra.Command{
		Use:   "create [OPTIONS] ID",
		Short: "Make a container of a bundle that waits to be started",
		Args:  exactly(1),
	}
	check := createFlags(cmd, &o)
	return g.command(cmd, func(args []string) error {
		if err := check(); err != nil {
			return err
		}
		o.ID = args[0]
		r, err := g.runtime()
		if err != nil {
			return err
		}
		_, _, err = r.Create(context.Background(), o)
		return err
	})
}

func newRuntimeRun(g *runtimeGlobals) *cobra.Command {
	var o oci.RunOptions
	cmd := &cobra.Command{
		Use:   "run [OPTIONS] ID",
		Short: "Create a container, start it and, unless it is detached, wait for its end",
		Args:  exactly(1),
	}
	check := createFlags(cmd, &o.CreateOptions)
	cmd.Flags().BoolVarP(&o.Detach, "detach", "d", false, "return once it runs")
	cmd.Flags().BoolVar(&o.Keep, "keep", false, "don't delete it when it has ended")
	return g.command(cmd, func(args []string) error {
		if err := check(); err != nil {
			return err
		}
		o.ID = args[0]
		r, err := g.runtime()
		if err != nil {
			return err
		}
		o.Signals = passedOn()
		status, err := r.Run(context.Background(), o)
		return exited(status, err)
	})
}

// passedOn are the signals that a container's process is to get in our place.
func passedOn() <-chan os.Signal {
	c := make(chan os.Signal, 64)
	signal.Notify(c, stage.Forwardable()...)
	return c
}

// byID is a command that does one thing to a container.
func byID(g *runtimeGlobals, use, short string, do func(*oci.Container) error) *cobra.Command {
	return g.command(&cobra.Command{Use: use + " ID", Short: short, Args: exactly(1)}, func(args []string) error {
		c, err := g.open(args[0])
		if err != nil {
			return err
		}
		return do(c)
	})
}

func newRuntimeStart(g *runtimeGlobals) *cobra.Command {
	return byID(g, "start", "Have a created container execute its process", (*oci.Container).Start)
}

func newRuntimePause(g *runtimeGlobals, name string) *cobra.Command {
	if name == "pause" {
		return byID(g, name, "Freeze every process of a container", (*oci.Container).Pause)
	}
	return byID(g, name, "Let the processes of a paused container go on", (*oci.Container).Resume)
}

// containerState is the specification's state and what runc adds to it, which containerd reads.
type containerState struct {
	specs.State
	Rootfs  string    `json:"rootfs"`
	Created time.Time `json:"created"`
	Owner   string    `json:"owner"`
}

func stateOf(c *oci.Container) containerState {
	return containerState{c.State(), c.Root, c.Created, fmt.Sprint(c.Owner)}
}

func newRuntimeState(g *runtimeGlobals) *cobra.Command {
	return byID(g, "state", "Show the state of a container, as JSON", func(c *oci.Container) error {
		return g.json(stateOf(c))
	})
}

// json writes a value as engines read it.
func (g *runtimeGlobals) json(v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	g.t.print("%s\n", b)
	return nil
}

func newRuntimeKill(g *runtimeGlobals) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "kill [OPTIONS] ID [SIGNAL]",
		Short: "Send a signal, by default TERM, to the first process of a container",
		Args:  between(1, 2),
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "send it to all processes of the container")
	return g.command(cmd, func(args []string) error {
		s := unix.SIGTERM
		if len(args) == 2 {
			var ok bool
			if s, ok = runtime.ParseSignal(args[1]); !ok {
				return fmt.Errorf("%q is no signal", args[1])
			}
		}
		c, err := g.open(args[0])
		if err != nil {
			return err
		}
		return c.Kill(s, all)
	})
}

func newRuntimeDelete(g *runtimeGlobals) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "delete [OPTIONS] ID",
		Short: "Remove a stopped container",
		Args:  exactly(1),
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "kill it first if it runs; one that does not exist is no error")
	return g.command(cmd, func(args []string) error {
		c, err := g.open(args[0])
		if err == nil {
			err = c.Delete(force)
		}
		if force && isNotExist(err) {
			return nil
		}
		return err
	})
}

func newRuntimeList(g *runtimeGlobals) *cobra.Command {
	var format string
	var quiet bool
	cmd := &cobra.Command{
		Use:   "list [OPTIONS]",
		Short: "List containers",
		Args:  exactly(0),
	}
	cmd.Flags().StringVarP(&format, "format", "f", "table", "table or json")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "IDs only")
	return g.command(cmd, func([]string) error {
		r, err := g.runtime()
		if err != nil {
			return err
		}
		all, err := r.List()
		if err != nil {
			return err
		}
		switch {
		case quiet:
			for _, c := range all {
				g.t.print("%s\n", c.ID)
			}
			return nil
		case format == "json":
			states := []containerState{}
			for _, c := range all {
				states = append(states, stateOf(c))
			}
			return g.json(states)
		case format == "table":
			w := tabwriter.NewWriter(g.t.out, 12, 1, 3, ' ', 0)
			fmt.Fprintln(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER")
			for _, c := range all {
				s := stateOf(c)
				fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", s.ID, s.Pid, s.Status, s.Bundle, s.Created.Format(time.RFC3339Nano), s.Owner)
			}
			return w.Flush()
		}
		return fmt.Errorf("--format %q: table or json", format)
	})
}

func newRuntimeSpec(g *runtimeGlobals) *cobra.Command {
	var bundle string
	var rootless bool
	cmd := &cobra.Command{
		Use:   "spec [OPTIONS]",
		Short: "Write a config.json to begin with",
		Args:  exactly(0),
	}
	cmd.Flags().StringVarP(&bundle, "bundle", "b", ".", "directory to write it to `DIR`")
	// This command's --rootless is another one than that of all commands, as in runc.
	cmd.Flags().BoolVar(&rootless, "rootless", false, "for a user who is not root")
	return g.command(cmd, func([]string) error { return oci.WriteTemplate(bundle, rootless) })
}

func newRuntimeFeatures(g *runtimeGlobals) *cobra.Command {
	return g.command(&cobra.Command{
		Use:   "features",
		Short: "Show what this runtime knows, as JSON",
		Args:  exactly(0),
	}, func([]string) error { return g.json(oci.Features()) })
}
