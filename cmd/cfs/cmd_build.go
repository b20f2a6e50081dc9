package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cfs-project/cfs/imagecmd"
)

// newBuild is `cfs build` and `cfs image build`.
func newBuild(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.BuildOptions
	var more buildFlags
	cmd := &cobra.Command{
		Use:   "build [flags] PATH | URL | -",
		Short: "Build an image from a Dockerfile",
		Long: `Build an image from a Dockerfile and a context: a directory, a tar or a git
repository by its URL, or, with -, a tar or a Dockerfile on standard input. The
context is read in place, and only what the Dockerfile copies.

COPY and ADD mount nothing and need no privileges. A RUN is a container of what
was built before it, on any driver. Each step is an image: 'cfs images -a' and
'cfs history' show them, 'cfs run' enters them, and the next build finds those again
that would come out the same. Stages that the target doesn't need are not built, those
that don't need each other are built at once.

With SOURCE_DATE_EPOCH set, here or by --build-arg, the same files give the same image.`,
		Example: `  cfs build -t app .
  cfs build -t app:test --target test --build-arg VERSION=1.2 -f docker/Dockerfile .
  cfs build -o type=local,dest=out --secret id=token,env=TOKEN https://github.com/team/app.git#main:src
  tar c . | cfs build -t app -`,
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := more.read(cmd, args[0], &o); err != nil {
				return err
			}
			o.Stdin, o.Err, o.Debug, o.Log = t.in, t.err, g.debug, g.log(t)
			st, err := g.open()
			if err != nil {
				return err
			}
			registryDefaults(cmd, t, g, &o.Registry)
			return buildStatus(imagecmd.Build(cmd.Context(), st, o, t.out))
		},
	}
	more.register(cmd, &o)
	registryFlags(cmd)
	return cmd
}

// newBuilder is `cfs builder`.
func newBuilder(t *terminal, g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "builder COMMAND",
		Short:   "Manage what builds leave",
		Example: "  cfs builder build -t app:1 .\n  cfs builder prune -f",
		Args:    groupArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBuild(t, g), newBuilderPrune(t, g))
	return cmd
}

func newBuilderPrune(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.BuilderPruneOptions
	var force bool
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove what builds have left",
		Long: `Remove the nameless images of builds that nothing stands on, with their steps. With
-a, also what cache mounts (RUN --mount=type=cache) hold, and the next build does every
step anew. Filters: until=TIME keeps what is younger; TIME is a date, or an age such as 24h.`,
		Example: "  cfs builder prune\n  cfs builder prune -a -f --filter until=240h",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := g.open()
			if err != nil {
				return err
			}
			o.Now = t.now
			if err := o.Check(); err != nil {
				return err
			}
			if !agreed(t, force, o.Warning()) {
				return nil
			}
			o.Log = g.log(t)
			return eachFailed(t, imagecmd.BuilderPrune(cmd.Context(), st, o, t.out))
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.All, "all", "a", false, "remove all that builds have left, not just nameless images")
	f.BoolVarP(&force, "force", "f", false, "don't ask")
	f.Var(&o.Filters, "filter", "remove only what a `KEY=VALUE` matches")
	return cmd
}

// buildStatus gives a build whose command failed that command's exit status, as Docker does.
func buildStatus(err error) error {
	if errors.Is(err, imagecmd.ErrChecked) {
		return &exitError{statusFailed, nil} // it has been printed
	}
	var failed *imagecmd.BuildError
	if errors.As(err, &failed) && failed.Status != 0 {
		return &exitError{failed.Status, err}
	}
	return err
}

// buildFlags are flags of cfs build that are read once all are known.
type buildFlags struct {
	args, labels, contexts, cacheFrom, cacheTo []string
	secrets, agents, outputs, hosts, allow     []string
	platform, shmSize, sbom, provenance        string
	remove, load, check                        bool
}

func (b *buildFlags) register(cmd *cobra.Command, o *imagecmd.BuildOptions) {
	f := cmd.Flags()
	f.StringVarP(&o.File, "file", "f", "", "the Dockerfile, a `PATH`; - is standard input (default: Dockerfile in the context)")
	f.StringArrayVarP(&o.Names, "tag", "t", nil, "a `NAME[:TAG]` for the image; may be given several times")
	f.StringArrayVar(&b.args, "build-arg", nil, "the value of an ARG `NAME=VALUE`; NAME alone takes the environment's")
	f.StringVar(&o.Target, "target", "", "build up to this `STAGE`")
	f.StringArrayVar(&b.contexts, "build-context", nil, "one more context `NAME=PATH|URL|docker-image://IMAGE|oci-layout://DIR`")
	f.StringArrayVar(&b.labels, "label", nil, "a label `KEY=VALUE` of the image")
	f.StringVar(&b.platform, "platform", os.Getenv("DOCKER_DEFAULT_PLATFORM"), "build for `OS/ARCH[/VARIANT]` (DOCKER_DEFAULT_PLATFORM)")

	f.BoolVar(&o.NoCache, "no-cache", false, "do every step anew")
	f.StringArrayVar(&b.cacheFrom, "cache-from", nil, "take steps also from an `IMAGE`, or type=local,src=DIR")
	f.StringArrayVar(&b.cacheTo, "cache-to", nil, "leave the steps for other hosts: `type=local,dest=DIR`, or type=inline")
	f.BoolVar(&o.Pull, "pull", false, "look for newer base images")
	f.BoolVar(&o.Squash, "squash", false, "make one layer of all that lie on the base image")

	f.StringArrayVar(&b.secrets, "secret", nil, "a secret `id=ID[,src=FILE|,env=NAME]`, for RUN --mount=type=secret; GIT_AUTH_TOKEN[.HOST] and HTTP_AUTH_TOKEN_HOST, or …HEADER…, are for what is fetched")
	f.StringArrayVar(&b.agents, "ssh", nil, "an agent for RUN --mount=type=ssh: `default|ID[=SOCKET]`")
	f.StringVar(&o.Run.Network, "network", "default", "network of RUN steps that name none: `default|bridge|host|none|container:NAME`, as of cfs run")
	f.StringArrayVar(&b.hosts, "add-host", nil, "one more line of /etc/hosts: `NAME:ADDRESS`")
	f.StringVar(&b.shmSize, "shm-size", "", "`SIZE` of /dev/shm (default 64m)")
	f.StringArrayVar(&o.Run.Ulimits, "ulimit", nil, "a limit `NAME=SOFT[:HARD]`")
	f.StringArrayVar(&b.allow, "allow", nil, "allow what a RUN is refused otherwise: `network.host|security.insecure`")
	registerLimits(f, &o.Run.Limits)
	registerParent(f, &o.Run.GroupOptions)
	f.StringVar(&o.Run.Driver, "driver", "", "storage driver `NAME` or auto (CFS_DRIVER) for RUN steps")
	f.BoolVar(&b.remove, "rm", true, "remove the containers of steps that succeeded")
	f.BoolVar(&o.Run.ForceRm, "force-rm", false, "remove the container of a step that failed, too")
	f.StringVar(&o.OnError, "on-error", "", "when a step fails: `shell` gives one in what it left")

	f.StringArrayVarP(&b.outputs, "output", "o", nil, "write the result: `type=local|tar|oci|docker[,dest=PATH]`; a directory, or - for a tar")
	f.StringVar(&o.IIDFile, "iidfile", "", "write the image's ID to a `FILE`")
	f.StringVar(&o.MetadataFile, "metadata-file", "", "write what is known of the result to a `FILE`, as JSON")
	f.StringVar(&o.Progress, "progress", "auto", "how it is shown: `auto|plain|tty|quiet`")
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "print the image's ID alone")
	f.BoolVar(&b.check, "check", false, "look for mistakes in the Dockerfile, and build nothing")
	f.BoolVar(&b.load, "load", false, "leave the image in the store, as is done anyway")
	f.StringVar(&b.sbom, "sbom", "false", "only `false`: no bill of materials is made")
	f.StringVar(&b.provenance, "provenance", "false", "only `false`: no provenance is made")
	f.Int64Var(&o.MaxExpansion, "max-expansion", 0, "refuse an archive or layer that unpacks to more than `N` times its size (0: 200, -1: no bound)")
	for _, flag := range []string{"load", "sbom", "provenance"} {
		_ = f.MarkHidden(flag)
	}
	refuseFlags(f)
}

// refusedBuildFlags are Docker's and buildx's that cfs build has no meaning for.
var refusedBuildFlags = map[string]string{
	"annotation": "an image of one platform has no index to annotate", "attest": "no attestations are made",
	"builder": "there are no builders to choose from", "call": "there is --check",
	"compress": "the context isn't sent anywhere", "isolation": "that is for Windows",
	"no-cache-filter": "there is --no-cache", "push": "there is cfs push",
	"security-opt": "RUN steps are as Docker's default", "stream": "the context isn't sent anywhere",
}

func refuseFlags(f *pflag.FlagSet) {
	for name, why := range refusedBuildFlags {
		alone := ""
		if slices.Contains([]string{"compress", "push", "stream"}, name) {
			alone = "true"
		}
		refuseFlag(f, name, "", &refusedValue{why: why}, alone)
	}
	refuseFlag(f, "disable-content-trust", "", &refusedValue{why: noTrust, but: []string{"true"}}, "true")
}

// read takes in what the flags say.
func (b *buildFlags) read(cmd *cobra.Command, where string, o *imagecmd.BuildOptions) (err error) {
	o.Context, o.Run.Keep = where, !b.remove
	if o.Args, err = buildArgs(b.args); err != nil {
		return err
	}
	if o.Labels, err = imagecmd.ParseLabels(nil, b.labels); err != nil {
		return err
	}
	if o.Platform, err = platformFlag(cmd, b.platform); err != nil {
		return err
	}
	for _, c := range b.contexts {
		name, value, ok := strings.Cut(c, "=")
		if !ok || name == "" || value == "" {
			return fmt.Errorf("invalid context value: %s, expected NAME=VALUE", c)
		}
		o.Contexts = append(o.Contexts, imagecmd.NamedContext{Name: strings.ToLower(name), Value: value})
	}
	if b.sbom != "false" || b.provenance != "false" {
		return errors.New("--sbom and --provenance can only be false: no attestations are made")
	}
	if !slices.Contains([]string{"auto", "plain", "tty", "quiet"}, o.Progress) {
		return fmt.Errorf("invalid progress mode %s: there are auto, plain, tty and quiet", o.Progress)
	}
	if o.OnError != "" && o.OnError != "shell" {
		return fmt.Errorf("--on-error %s: there is shell", o.OnError)
	}
	o.Check = b.check
	return errors.Join(b.readRun(o), b.readResults(o))
}

// readRun takes in how steps run.
func (b *buildFlags) readRun(o *imagecmd.BuildOptions) (err error) {
	for _, s := range b.secrets {
		secret, err := imagecmd.ParseSecret(s)
		if err != nil {
			return err
		}
		o.Secrets = append(o.Secrets, secret)
	}
	for _, s := range b.agents {
		agent, err := imagecmd.ParseSSH(s)
		if err != nil {
			return err
		}
		o.SSH = append(o.SSH, agent)
	}
	if o.Run.Network, err = imagecmd.ParseNetwork(o.Run.Network); err != nil {
		return err
	}
	for _, a := range b.allow {
		switch a {
		case "security.insecure":
			o.Run.Insecure = true
		case "network.host":
			o.Run.HostNetwork = true
		default:
			return fmt.Errorf("--allow %s: there are network.host and security.insecure", a)
		}
	}
	if b.shmSize != "" {
		if o.Run.ShmSize, err = imagecmd.ParseSize("shm-size", b.shmSize); err != nil {
			return err
		}
	}
	if o.Run.ExtraHosts, err = imagecmd.ParseHosts(b.hosts); err != nil {
		return err
	}
	return errors.Join(o.Run.CheckShape(), o.Run.Limits.Check())
}

// readResults takes in where results and steps go to, and come from.
func (b *buildFlags) readResults(o *imagecmd.BuildOptions) error {
	for _, s := range b.outputs {
		out, names, err := imagecmd.ParseBuildOutput(s)
		if err != nil {
			return err
		}
		o.Outputs, o.Names = append(o.Outputs, out), append(o.Names, names...)
	}
	for _, s := range b.cacheFrom {
		c, err := imagecmd.ParseCacheFrom(s)
		if err != nil {
			return err
		}
		o.CacheFrom = append(o.CacheFrom, c...)
	}
	for _, s := range b.cacheTo {
		c, err := imagecmd.ParseCacheTo(s)
		if err != nil {
			return err
		}
		o.CacheTo = append(o.CacheTo, c)
	}
	return nil
}

// buildArgs reads NAME=VALUE, or NAME alone, which is left out where the environment
// has none.
func buildArgs(list []string) (map[string]string, error) {
	out := map[string]string{}
	for _, kv := range list {
		name, value, given := strings.Cut(kv, "=")
		if name == "" {
			return nil, fmt.Errorf("invalid --build-arg %q: it is NAME=VALUE", kv)
		}
		if !given {
			if value, given = os.LookupEnv(name); !given {
				continue
			}
		}
		out[name] = value
	}
	return out, nil
}
