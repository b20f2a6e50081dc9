package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/oci"
	"github.com/cfs-project/cfs/runtime/stage"
)

// processFlags are the flags of exec that say what the process is.
type processFlags struct {
	file       string
	cwd        string
	env        []string
	user       string
	groups     []uint
	caps       []string
	tty        bool
	noNewPrivs bool
	apparmor   string
}

func newRuntimeExec(g *runtimeGlobals) *cobra.Command {
	var p processFlags
	var o oci.ExecOptions
	cmd := &cobra.Command{
		Use:   "exec [OPTIONS] ID [COMMAND [ARG...]]",
		Short: "Run one more process in a container",
		Long: `Run one more process in a container. It is the container's own one with another
command and what the options change, or the one that --process describes.`,
		Example: `  cfs runtime exec box ps
  cfs runtime exec --process p.json --detach --pid-file pid box`,
		Args: atLeast(1),
	}
	f := cmd.Flags()
	flagsEnd(f)
	f.StringVarP(&p.file, "process", "p", "", "a process as config.json has it, in a file of its own `FILE`")
	f.StringVar(&p.cwd, "cwd", "", "working directory `DIR`")
	f.StringArrayVarP(&p.env, "env", "e", nil, "one more variable `NAME=VALUE`")
	f.StringVarP(&p.user, "user", "u", "", "who to be: `UID[:GID]` or names of the container")
	f.UintSliceVarP(&p.groups, "additional-gids", "g", nil, "supplementary groups `GID`")
	f.StringArrayVarP(&p.caps, "cap", "c", nil, "one more capability `CAP_NAME`")
	f.BoolVarP(&p.tty, "tty", "t", false, "on a terminal of its own")
	f.BoolVar(&p.noNewPrivs, "no-new-privs", false, "setuid programs give nothing")
	f.StringVar(&p.apparmor, "apparmor", "", "confined by an AppArmor `PROFILE` of the host")
	f.BoolVar(&o.Paused, "ignore-paused", false, "also in a paused container: the process waits there")
	f.StringVar(&o.PIDFile, "pid-file", "", "file to write the process id to `FILE`")
	f.StringVar(&o.ConsoleSocket, "console-socket", "", "socket to send the terminal's other side to `SOCKET`")
	f.IntVar(&o.PreserveFDs, "preserve-fds", 0, "give the process `N` more descriptors, from 3 on")
	f.BoolVarP(&o.Detach, "detach", "d", false, "return once it runs")
	return g.command(cmd, func(args []string) error {
		c, err := g.open(args[0])
		if err != nil {
			return err
		}
		if o.Process, err = p.process(c, args[1:]); err != nil {
			return err
		}
		o.Stdio = stage.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
		if !o.Detach {
			o.Signals = passedOn()
		}
		return exited(c.Exec(context.Background(), o))
	})
}

// process is what to run: a file's, or the container's with what is asked for laid over it.
func (p processFlags) process(c *oci.Container, args []string) (*specs.Process, error) {
	if p.file != "" {
		if len(args) > 0 {
			return nil, fmt.Errorf("a command and --process exclude each other")
		}
		b, err := os.ReadFile(p.file)
		if err != nil {
			return nil, err
		}
		var out specs.Process
		if err := json.Unmarshal(b, &out); err != nil {
			return nil, fmt.Errorf("read %s: %w", p.file, err)
		}
		if p.tty {
			out.Terminal = true
		}
		if p.apparmor != "" {
			out.ApparmorProfile = p.apparmor
		}
		return &out, nil
	}
	if len(args) == 0 {
		return nil, fmt.Errorf("no command, and no --process")
	}
	out, err := c.ProcessConfig()
	if err != nil {
		return nil, err
	}
	out.Args, out.Terminal = args, p.tty
	if p.cwd != "" {
		out.Cwd = p.cwd
	}
	for _, e := range p.env {
		if !strings.Contains(e, "=") {
			return nil, fmt.Errorf("--env %q: NAME=VALUE", e)
		}
		out.Env = runtime.SetEnv(out.Env, e)
	}
	if p.user != "" {
		u, err := runtime.LookupUser(fmt.Sprintf("/proc/%d/root", c.Process.PID), p.user)
		if err != nil {
			return nil, err
		}
		out.User.UID, out.User.GID, out.User.AdditionalGids = u.UID, u.GID, u.Groups
	}
	for _, id := range p.groups {
		out.User.AdditionalGids = append(out.User.AdditionalGids, uint32(id))
	}
	if len(p.caps) > 0 {
		if err := addCapabilities(out, p.caps); err != nil {
			return nil, err
		}
	}
	out.NoNewPrivileges = out.NoNewPrivileges || p.noNewPrivs
	if p.apparmor != "" {
		out.ApparmorProfile = p.apparmor
	}
	return out, nil
}

func addCapabilities(p *specs.Process, names []string) error {
	if p.Capabilities == nil {
		p.Capabilities = &specs.LinuxCapabilities{}
	}
	known := runtime.KnownCapabilities()
	for _, n := range names {
		n = "CAP_" + strings.TrimPrefix(strings.ToUpper(n), "CAP_")
		if !slices.Contains(known, n) {
			return fmt.Errorf("--cap %q is no capability", n)
		}
		for _, set := range []*[]string{&p.Capabilities.Bounding, &p.Capabilities.Effective, &p.Capabilities.Permitted} {
			if !slices.Contains(*set, n) {
				*set = append(*set, n)
			}
		}
	}
	return nil
}

func newRuntimePs(g *runtimeGlobals) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "ps [OPTIONS] ID [PS-OPTION...]",
		Short: "List the processes of a container",
		Args:  atLeast(1),
	}
	flagsEnd(cmd.Flags())
	cmd.Flags().StringVarP(&format, "format", "f", "table", "table, as ps(1) prints it, or json: the process ids")
	return g.command(cmd, func(args []string) error {
		c, err := g.open(args[0])
		if err != nil {
			return err
		}
		pids, err := c.Processes()
		if err != nil {
			return err
		}
		switch format {
		case "json":
			return g.json(append([]int{}, pids...))
		case "table":
			return g.ps(pids, args[1:])
		}
		return fmt.Errorf("--format %q: table or json", format)
	})
}

// ps prints those lines of ps(1) that are about the processes.
func (g *runtimeGlobals) ps(pids []int, options []string) error {
	if len(options) == 0 {
		options = []string{"-ef"}
	}
	out, err := exec.Command("ps", options...).Output()
	if err != nil {
		return fmt.Errorf("ps %s: %w", strings.Join(options, " "), err)
	}
	lines := strings.SplitAfter(string(out), "\n")
	column := slices.Index(strings.Fields(lines[0]), "PID")
	if column < 0 {
		return fmt.Errorf("ps %s shows no column PID", strings.Join(options, " "))
	}
	g.t.print("%s", lines[0])
	for _, line := range lines[1:] {
		f := strings.Fields(line)
		if len(f) <= column {
			continue
		}
		if pid, err := strconv.Atoi(f[column]); err == nil && slices.Contains(pids, pid) {
			g.t.print("%s", line)
		}
	}
	return nil
}

func newRuntimeUpdate(g *runtimeGlobals) *cobra.Command {
	var u resourceFlags
	cmd := &cobra.Command{
		Use:   "update [OPTIONS] ID",
		Short: "Change the limits of a container",
		Example: `  cfs runtime update --memory 512m --pids-limit 100 box
  cfs runtime update --resources limits.json box`,
		Args: exactly(1),
	}
	f := cmd.Flags()
	f.StringVarP(&u.file, "resources", "r", "", "limits as linux.resources of config.json has them; - is standard input `FILE`")
	f.StringVar(&u.memory, "memory", "", "memory, in bytes or with a unit `SIZE`")
	f.StringVar(&u.reservation, "memory-reservation", "", "memory that is left to it when the host has little `SIZE`")
	f.StringVar(&u.swap, "memory-swap", "", "memory and swap together; -1 is no limit `SIZE`")
	f.Uint64Var(&u.period, "cpu-period", 0, "period of --cpu-quota in microseconds")
	f.Int64Var(&u.quota, "cpu-quota", 0, "processor time a period in microseconds")
	f.Uint64Var(&u.shares, "cpu-share", 0, "share of the processors where they are scarce")
	f.Uint64Var(&u.rtPeriod, "cpu-rt-period", 0, "period of --cpu-rt-runtime in microseconds")
	f.Int64Var(&u.rtRuntime, "cpu-rt-runtime", 0, "real-time processor time a period in microseconds")
	f.StringVar(&u.cpus, "cpuset-cpus", "", "processors to use, as 0-2,7 `LIST`")
	f.StringVar(&u.mems, "cpuset-mems", "", "memory nodes to use `LIST`")
	f.Int64Var(&u.pids, "pids-limit", 0, "processes and threads; -1 is no limit")
	f.Uint16Var(&u.blkioWeight, "blkio-weight", 0, "share of disks where they are scarce, 10 to 1000")
	return g.command(cmd, func(args []string) error {
		c, err := g.open(args[0])
		if err != nil {
			return err
		}
		r, err := u.resources(cmd.Flags().Changed, g.t.in)
		if err != nil {
			return err
		}
		return c.Update(r)
	})
}

// resourceFlags are the limits that update may change.
type resourceFlags struct {
	file                      string
	memory, reservation, swap string
	period, shares, rtPeriod  uint64
	quota, rtRuntime, pids    int64
	cpus, mems                string
	blkioWeight               uint16
}

// resources are those that were given; file excludes the others.
func (u resourceFlags) resources(given func(string) bool, stdin io.Reader) (*specs.LinuxResources, error) {
	var r specs.LinuxResources
	if u.file != "" {
		var b []byte
		var err error
		if u.file == "-" {
			b, err = io.ReadAll(stdin)
		} else {
			b, err = os.ReadFile(u.file)
		}
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(b, &r); err != nil {
			return nil, fmt.Errorf("read %s: %w", u.file, err)
		}
		return &r, nil
	}
	var m specs.LinuxMemory
	var cpu specs.LinuxCPU
	for _, size := range []struct {
		flag, text string
		to         **int64
	}{{"memory", u.memory, &m.Limit}, {"memory-reservation", u.reservation, &m.Reservation}, {"memory-swap", u.swap, &m.Swap}} {
		if !given(size.flag) {
			continue
		}
		n := int64(-1)
		if size.text != "-1" {
			var err error
			if n, err = units.RAMInBytes(size.text); err != nil {
				return nil, fmt.Errorf("--%s: %w", size.flag, err)
			}
		}
		*size.to, r.Memory = &n, &m
	}
	for flag, set := range map[string]func(){
		"cpu-period": func() { cpu.Period = &u.period }, "cpu-quota": func() { cpu.Quota = &u.quota },
		"cpu-share": func() { cpu.Shares = &u.shares }, "cpu-rt-period": func() { cpu.RealtimePeriod = &u.rtPeriod },
		"cpu-rt-runtime": func() { cpu.RealtimeRuntime = &u.rtRuntime },
		"cpuset-cpus":    func() { cpu.Cpus = u.cpus }, "cpuset-mems": func() { cpu.Mems = u.mems },
	} {
		if given(flag) {
			set()
			r.CPU = &cpu
		}
	}
	if given("pids-limit") {
		r.Pids = &specs.LinuxPids{Limit: &u.pids}
	}
	if given("blkio-weight") {
		r.BlockIO = &specs.LinuxBlockIO{Weight: &u.blkioWeight}
	}
	if r.Memory == nil && r.CPU == nil && r.Pids == nil && r.BlockIO == nil {
		return nil, fmt.Errorf("no limit is given")
	}
	return &r, nil
}
