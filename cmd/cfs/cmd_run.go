package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newRun(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.RunOptions
	var security []string
	cmd := &cobra.Command{
		Use:   "run [flags] IMAGE [COMMAND [ARG...]]",
		Short: "Run a command in a new container",
		Long: `Run a command in a new container on top of an image.

Works without privileges: an ordinary user gets a user namespace, with the
sub-uids of /etc/subuid when there are any. A small init is process 1, forwards
signals and reaps zombies, unless the command is an init itself (--init=false
to make any command process 1).`,
		Example: `  cfs run --rm -it debian bash
  cfs run --rm --network none -e GREETING=hi debian sh -c 'echo $GREETING'`,
		Args: atLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Image, o.Command = args[0], args[1:]
			o.Debug = g.debug
			o.InitSet = cmd.Flags().Changed("init")
			if err := parseSecurity(security, &o); err != nil {
				return err
			}
			st, err := g.open()
			if err != nil {
				return &exitError{statusUsage, err}
			}
			status, err := imagecmd.Run(cmd.Context(), st, o)
			if err != nil || status != 0 {
				return &exitError{status, err}
			}
			return nil
		},
	}
	f := cmd.Flags()
	flagsEnd(f)
	f.BoolVar(&o.Remove, "rm", false, "remove the container when it ends")
	f.BoolVarP(&o.Interactive, "interactive", "i", false, "keep standard input open")
	f.BoolVarP(&o.TTY, "tty", "t", false, "give the process a terminal")
	f.StringArrayVarP(&o.Env, "env", "e", nil, "set an environment variable `KEY=VALUE`; KEY alone takes the host's value")
	f.StringVarP(&o.Workdir, "workdir", "w", "", "working directory `DIR` inside the container")
	f.StringVarP(&o.User, "user", "u", "", "user, by name or ID: `USER[:GROUP]`")
	f.StringVar(&o.Name, "name", "", "a `NAME` for the container")
	f.StringVar(&o.Hostname, "hostname", "", "the container's host `NAME`")
	f.StringVar(&o.Network, "network", "host", "network of the container: `none|host`")
	f.BoolVar(&o.Init, "init", true, "run a small init as process 1")
	f.StringArrayVar(&security, "security-opt", nil, "`no-new-privileges[=true|false]`: on by default, so that setuid programs give nothing; seccomp=unconfined|default|FILE: the system calls let through, by default those of Docker's profile")
	f.StringVar(&o.Driver, "driver", "", "storage driver `NAME` or auto (CFS_DRIVER); default: the first that works here (cfs driver ls)")
	f.Var(storageOptions{&o.MaxSize}, "storage-opt", "bound what the container may change, where the driver can")
	return cmd
}

// parseSecurity reads Docker's --security-opt as far as cfs has it.
func parseSecurity(opts []string, o *imagecmd.RunOptions) error {
	for _, opt := range opts {
		switch opt {
		case "no-new-privileges", "no-new-privileges=true", "no-new-privileges:true":
			o.Privileges = false
		case "no-new-privileges=false", "no-new-privileges:false":
			o.Privileges = true
		case "seccomp=" + imagecmd.Unconfined, "seccomp:" + imagecmd.Unconfined:
			o.Seccomp = imagecmd.Unconfined
		case "seccomp=default", "seccomp=builtin":
			o.Seccomp = ""
		default:
			if file, ok := strings.CutPrefix(opt, "seccomp="); ok && file != "" {
				profile, err := os.ReadFile(file)
				if err != nil {
					return &exitError{statusUsage, fmt.Errorf("opening seccomp profile: %w", err)}
				}
				o.Seccomp = string(profile)
				continue
			}
			return &usageError{fmt.Errorf("security option %q is not supported", opt), "cfs run"}
		}
	}
	return nil
}
