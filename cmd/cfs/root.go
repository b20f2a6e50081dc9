package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/imagecmd/store"
)

// globals are the flags every command has.
type globals struct {
	root  string
	debug bool
}

// newRoot builds the command tree, with those commands of the table that are wanted.
func newRoot(t *terminal, wanted []command) *cobra.Command {
	g := &globals{}
	cmd := &cobra.Command{
		Use:   "cfs COMMAND",
		Short: "Look into, change and run layered images, without a daemon and without root",
		Long: `cfs looks into, changes and runs layered images on any host: no daemon, no root.

Start here:
  cfs run cfs/hello                a built-in image; needs no network and no file
  cfs load -i image.tar            bring an image in (docker save, OCI archive or layout)
  cfs run --rm -it IMAGE sh        run a command in it
  cfs mount IMAGE DIR              look into it; cfs umount DIR when done
  cfs info                         what this host allows, and what to do about the rest`,
		Version:           version,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SetVersionTemplate("cfs version {{.Version}}\n")
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &usageError{unknownFlag(c, err), c.CommandPath()}
	})
	f := cmd.PersistentFlags()
	f.StringVar(&g.root, "root", "", "the `DIR` that holds images and containers (CFS_ROOT)")
	f.BoolVarP(&g.debug, "debug", "D", false, "tell on standard error what is being done")

	cmd.AddCommand(build(wanted, t, g)...)
	return cmd
}

// groupArgs refuses an unknown command of a group, which cobra would take as an argument.
func groupArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return unknownCommand(cmd, args[0])
	}
	return nil
}

// exactly, atLeast and atMost are cobra's argument checks with cfs's words.
func exactly(n int) cobra.PositionalArgs { return between(n, n) }
func atLeast(n int) cobra.PositionalArgs { return between(n, -1) }

func between(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) >= least && (most < 0 || len(args) <= most):
			return nil
		case least == most:
			return &usageError{fmt.Errorf("%s needs %s, got %d", cmd.CommandPath(), plural(least, "argument"), len(args)), cmd.CommandPath()}
		case len(args) < least:
			return &usageError{fmt.Errorf("%s needs at least %s", cmd.CommandPath(), plural(least, "argument")), cmd.CommandPath()}
		default:
			return &usageError{fmt.Errorf("%s takes at most %s, got %d", cmd.CommandPath(), plural(most, "argument"), len(args)), cmd.CommandPath()}
		}
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// dir is the root directory in force: --root, CFS_ROOT, /var/lib/cfs for root,
// $XDG_DATA_HOME/cfs for anyone else (XDG base directory specification), who may be root in
// a user namespace.
func (g *globals) dir() (string, error) {
	dir := g.root
	if dir == "" {
		dir = os.Getenv("CFS_ROOT")
	}
	if dir != "" {
		return filepath.Abs(dir)
	}
	if os.Geteuid() == 0 && ownsVar() {
		return "/var/lib/cfs", nil
	}
	if data := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(data) {
		return filepath.Join(data, "cfs"), nil
	}
	home := os.Getenv("HOME")
	if !filepath.IsAbs(home) {
		return "", fmt.Errorf("no directory for images: $HOME is not set (say --root DIR or CFS_ROOT)")
	}
	return filepath.Join(home, ".local", "share", "cfs"), nil
}

// ownsVar tells whether /var/lib is root's: in a user namespace on a host's files it is nobody's.
func ownsVar() bool {
	var st unix.Stat_t
	err := unix.Stat("/var/lib", &st)
	return err != nil || st.Uid == 0
}

// open gives access to the store in force.
func (g *globals) open() (*store.Store, error) {
	dir, err := g.dir()
	if err != nil {
		return nil, err
	}
	return store.Open(dir, store.Options{})
}

// log is where libraries that keep going may tell what they do.
func (g *globals) log(t *terminal) *slog.Logger {
	if !g.debug {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// flagsEnd makes a command stop reading flags at its first argument, so that
// those of the command inside a container are left alone.
func flagsEnd(f *pflag.FlagSet) { f.SetInterspersed(false) }
