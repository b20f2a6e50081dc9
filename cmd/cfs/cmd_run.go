package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newRun(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.RunOptions
	var more runFlags
	cmd := &cobra.Command{
		Use:   "run [flags] IMAGE [COMMAND [ARG...]]",
		Short: "Run a command in a new container",
		Long: `Run a command in a new container on top of an image.

Works without privileges: an ordinary user gets a user namespace, with the
sub-uids of /etc/subuid when there are any. A small init is process 1, forwards
signals and reaps zombies, unless the command is an init itself (--init=false
to make any command process 1).`,
		Example: `  cfs run --rm -it debian bash
  cfs run --rm --network none -e GREETING=hi debian sh -c 'echo $GREETING'
  cfs run -d --name web -p 8080:80 nginx; cfs port web; cfs logs -f web`,
		Args: atLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := more.read(cmd, args, &o); err != nil {
				return &exitError{statusUsage, err}
			}
			o.Debug = g.debug
			registryDefaults(cmd, t, g, &o.Source.Registry)
			st, err := g.open()
			if err != nil {
				return &exitError{statusUsage, err}
			}
			return exited(imagecmd.Run(cmd.Context(), st, o))
		},
	}
	more.register(cmd, &o)
	cmd.Flags().BoolVarP(&o.Detach, "detach", "d", false, "let it run in the background and print its ID")
	return cmd
}

func newCreate(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.RunOptions
	var more runFlags
	cmd := &cobra.Command{
		Use:     "create [flags] IMAGE [COMMAND [ARG...]]",
		Short:   "Make a container, to be started later",
		Example: "  cfs create --name web nginx; cfs start web",
		Args:    atLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := more.read(cmd, args, &o); err != nil {
				return err
			}
			registryDefaults(cmd, t, g, &o.Source.Registry)
			st, err := g.open()
			if err != nil {
				return err
			}
			return imagecmd.Create(cmd.Context(), st, o, t.out)
		},
	}
	more.register(cmd, &o)
	return cmd
}

// runFlags are the flags of run and create that are read into something else.
type runFlags struct {
	security, labels, labelFiles, logOpts []string
	entrypoint, logDriver, cidFile        string
	stopTimeout, oomScoreAdj              int
	volumes, mounts, tmpfs                []string
	devices, sysctls, addHosts            []string
	shmSize, network                      string
	annotations, attach                   []string
	publish, expose                       []string
	image                                 imageFlags
	limits                                limitFlags
	life                                  lifeFlags
}

func (r *runFlags) register(cmd *cobra.Command, o *imagecmd.RunOptions) {
	f := cmd.Flags()
	flagsEnd(f)
	f.BoolVar(&o.Remove, "rm", false, "remove the container when it ends")
	f.BoolVarP(&o.Interactive, "interactive", "i", false, "keep standard input open")
	f.BoolVarP(&o.TTY, "tty", "t", false, "give the process a terminal")
	f.StringArrayVarP(&o.Env, "env", "e", nil, "set an environment variable `KEY=VALUE`; KEY alone takes the host's value")
	f.StringArrayVar(&o.EnvFiles, "env-file", nil, "set the environment variables of a `FILE`, one a line")
	f.StringVar(&r.entrypoint, "entrypoint", "", "run `COMMAND` instead of the image's entry point, which gets the arguments; empty: none")
	f.StringVarP(&o.Workdir, "workdir", "w", "", "working directory `DIR` inside the container")
	f.StringVarP(&o.User, "user", "u", "", "user, by name or ID: `USER[:GROUP]`")
	f.StringVar(&o.Name, "name", "", "a `NAME` for the container")
	f.StringVar(&r.cidFile, "cidfile", "", "write the container's ID to a new `FILE`")
	f.StringArrayVarP(&r.labels, "label", "l", nil, "a label `KEY=VALUE` of the container")
	f.StringArrayVar(&r.labelFiles, "label-file", nil, "read labels from a `FILE`, one a line")
	f.StringArrayVarP(&r.volumes, "volume", "v", nil, "mount a volume, or a directory or file of the host: `[VOLUME|HOST:]CONTAINER[:OPTIONS]`, options ro, rw, nocopy, rshared, …; without a source an anonymous volume")
	f.StringArrayVar(&r.mounts, "mount", nil, "mount something: `type=volume,src=VOLUME,dst=CONTAINER[,ro]`, type=bind,src=HOST,… or type=tmpfs,dst=CONTAINER[,tmpfs-size=SIZE]")
	f.StringArrayVar(&o.VolumesFrom, "volumes-from", nil, "mount what another container has: `CONTAINER[:ro]`")
	f.StringArrayVar(&r.tmpfs, "tmpfs", nil, "mount a tmpfs: `CONTAINER[:OPTIONS]`")
	f.BoolVar(&o.ReadOnly, "read-only", false, "keep the container's root from being written to")
	f.StringVar(&r.shmSize, "shm-size", "", "`SIZE` of /dev/shm (default 64m)")
	f.StringArrayVar(&o.CapAdd, "cap-add", nil, "give a `CAPABILITY`, or ALL")
	f.StringArrayVar(&o.CapDrop, "cap-drop", nil, "take a `CAPABILITY`, or ALL")
	f.BoolVar(&o.Privileged, "privileged", false, "all capabilities and devices, nothing masked or filtered, as far as you have them yourself")
	f.StringArrayVar(&r.devices, "device", nil, "give a device of the host: `HOST[:CONTAINER][:ACCESS]`, access of r, w and m (default rwm)")
	f.StringArrayVar(&o.Ulimits, "ulimit", nil, "a limit `NAME=SOFT[:HARD]`")
	f.StringArrayVar(&r.sysctls, "sysctl", nil, "a kernel parameter `NAME=VALUE` of the container's own namespaces")
	f.StringArrayVar(&o.GroupAdd, "group-add", nil, "one more `GROUP` for the process")
	f.IntVar(&r.oomScoreAdj, "oom-score-adj", 0, "how likely it is to be killed when memory is short, -1000 to 1000")
	f.StringVar(&o.Domainname, "domainname", "", "the container's NIS domain `NAME`")
	f.StringArrayVar(&r.addHosts, "add-host", nil, "one more line of /etc/hosts: `NAME:ADDRESS`, or NAME:host-gateway for the host")
	f.StringArrayVar(&o.DNS, "dns", nil, "`ADDRESS` of a name server")
	f.StringArrayVar(&o.DNSSearch, "dns-search", nil, "`DOMAIN` to search names in; . for none")
	f.StringArrayVar(&o.DNSOptions, "dns-option", nil, "an `OPTION` of resolv.conf")
	f.StringArrayVar(&o.DNSOptions, "dns-opt", nil, "the same as --dns-option")
	_ = f.MarkHidden("dns-opt")                   // it exists
	f.Bool("help", false, "help for "+cmd.Name()) // -h is Docker's for the host name
	f.StringVarP(&o.Hostname, "hostname", "h", "", "the container's host `NAME`")
	f.StringVar(&o.IPC, "ipc", "", "its IPC namespace: `private|none|host`")
	f.StringVar(&o.UTS, "uts", "", "host: share the `host`'s name")
	f.StringArrayVar(&r.annotations, "annotation", nil, "an annotation `KEY=VALUE` of its OCI configuration")
	f.StringArrayVarP(&r.attach, "attach", "a", nil, "attach only to `stdin|stdout|stderr`")
	f.StringVar(&r.network, "network", imagecmd.NetworkDefault, "network of the container: `none|host|bridge|container:NAME`")
	f.StringVar(&r.network, "net", imagecmd.NetworkDefault, "the same as --network")
	_ = f.MarkHidden("net") // it exists
	f.StringArrayVarP(&r.publish, "publish", "p", nil, "publish a port on the host: `[[IP:]HOST:]CONTAINER[/udp]`, ports or ranges of them")
	f.BoolVarP(&o.PublishAll, "publish-all", "P", false, "publish every exposed port, on ports that are free")
	f.StringArrayVar(&r.expose, "expose", nil, "one more `PORT[/udp]`, or range, that the container exposes")
	f.BoolVar(&o.Init, "init", true, "run a small init as process 1")
	f.StringVar(&o.StopSignal, "stop-signal", "", "the `SIGNAL` that cfs stop sends first")
	f.IntVar(&r.stopTimeout, "stop-timeout", imagecmd.DefaultStopTimeout, "`SECONDS` after which cfs stop kills (-1: never)")
	f.StringVar(&r.logDriver, "log-driver", "json-file", "how output is kept: `json-file|none`")
	f.StringArrayVar(&r.logOpts, "log-opt", nil, "`max-size=SIZE` of a log file and max-file=NUMBER of them")
	f.StringArrayVar(&r.security, "security-opt", nil, "`no-new-privileges[=true|false]`: on by default, so that setuid programs give nothing; seccomp=unconfined|default|FILE: the system calls let through, by default those of Docker's profile")
	r.image.register(cmd, &o.Source)
	r.limits.register(f, &o.Limits)
	r.limits.registerMore(f, &o.GroupOptions)
	r.life.register(f)
	f.StringVar(&o.Driver, "driver", "", "storage driver `NAME` or auto (CFS_DRIVER); default: the first that works here (cfs driver ls)")
	f.Var(storageOptions{&o.MaxSize}, "storage-opt", "bound what the container may change, where the driver can")
	refuse(f)
}

// read takes in what the flags and arguments say.
func (r *runFlags) read(cmd *cobra.Command, args []string, o *imagecmd.RunOptions) (err error) {
	f := cmd.Flags()
	o.Image, o.Command = args[0], args[1:]
	o.InitSet = f.Changed("init")
	o.CIDFile = r.cidFile
	if err := r.image.read(cmd, &o.Source); err != nil {
		return err
	}
	if o.Annotations, err = imagecmd.ParseLabels(nil, r.annotations); err != nil {
		return err
	}
	for _, a := range r.attach {
		o.Attach = append(o.Attach, strings.ToLower(a))
	}
	if f.Changed("entrypoint") {
		o.Entrypoint = &r.entrypoint
	}
	if f.Changed("stop-timeout") {
		o.StopTimeout = &r.stopTimeout
	}
	if o.Labels, err = imagecmd.ParseLabels(r.labelFiles, r.labels); err != nil {
		return err
	}
	if o.Log, err = imagecmd.ParseLog(r.logDriver, r.logOpts); err != nil {
		return err
	}
	if f.Changed("oom-score-adj") {
		o.OOMScoreAdj = &r.oomScoreAdj
	}
	if err := r.limits.read(f, &o.GroupOptions); err != nil {
		return err
	}
	if err := r.life.read(f, o); err != nil {
		return err
	}
	if err := r.shape(o); err != nil {
		return err
	}
	if err := r.connect(o); err != nil {
		return err
	}
	return parseSecurity(r.security, o)
}

// connect reads what the container's network is, and where its image may come from.
func (r *runFlags) connect(o *imagecmd.RunOptions) (err error) {
	if o.Network, err = imagecmd.ParseNetwork(r.network); err != nil {
		return err
	}
	if o.Expose, err = imagecmd.ParseExpose(r.expose); err != nil {
		return err
	}
	o.Publish, err = imagecmd.ParsePublish(r.publish)
	return err
}

// shape reads what changes the container's configuration.
func (r *runFlags) shape(o *imagecmd.RunOptions) (err error) {
	for _, m := range []struct {
		values []string
		parse  func(string) (imagecmd.MountOption, error)
	}{{r.volumes, imagecmd.ParseVolume}, {r.mounts, imagecmd.ParseMount}, {r.tmpfs, imagecmd.ParseTmpfs}} {
		for _, v := range m.values {
			parsed, err := m.parse(v)
			if err != nil {
				return err
			}
			o.Mounts = append(o.Mounts, parsed)
		}
	}
	for _, v := range r.devices {
		d, err := imagecmd.ParseDevice(v)
		if err != nil {
			return err
		}
		o.Devices = append(o.Devices, d)
	}
	if r.shmSize != "" {
		if o.ShmSize, err = imagecmd.ParseSize("shm-size", r.shmSize); err != nil {
			return err
		}
	}
	if o.Sysctls, err = imagecmd.ParseSysctls(r.sysctls); err != nil {
		return err
	}
	o.ExtraHosts, err = imagecmd.ParseHosts(r.addHosts)
	return errors.Join(err, o.CheckShape())
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
