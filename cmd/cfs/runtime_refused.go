package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A missingFlag is one of crun's or runc's that cfs has no meaning for.
type missingFlag struct{ name, short, why string }

// missingFlags are those of each command of the runtime; those of "" are all commands'.
var missingFlags = map[string][]missingFlag{
	"":       {{"criu", "", "there are no checkpoints"}},
	"create": {{"config", "f", "the configuration is the bundle's config.json"}},
	"run":    {{"config", "f", "the configuration is the bundle's config.json"}},
	"exec": {
		{"cgroup", "", "a process is in the container's own control group"},
		{"process-label", "", "cfs sets no SELinux labels of processes"},
	},
	"kill":   {{"regex", "r", "containers are named, or listed by list -q"}},
	"delete": {{"regex", "r", "containers are named, or listed by list -q"}},
	"spec":   {{"file", "f", "it is config.json in the directory of --bundle"}},
	"update": {
		{"kernel-memory", "", "kernels don't count it apart any more"},
		{"kernel-memory-tcp", "", "kernels with cgroup v2 don't count it apart"},
		{"l3-cache-schema", "", "Intel RDT is not supported"},
		{"mem-bw-schema", "", "Intel RDT is not supported"},
	},
}

// missingCommands are commands of runc that cfs has none for, and why.
var missingCommands = map[string]string{
	"checkpoint": "there are no checkpoints",
	"restore":    "there are no checkpoints",
	"events":     "what a container uses is in the files of its control group",
}

// refuseMissing gives the runtime's command line what it lacks, so that whoever asks for it
// reads why it is refused.
func refuseMissing(cmd *cobra.Command) {
	add := func(f *pflag.FlagSet, missing []missingFlag) {
		for _, m := range missing {
			alone := ""
			if m.name == "regex" { // which takes no value
				alone = "true"
			}
			refuseFlag(f, m.name, m.short, &refusedValue{why: m.why}, alone)
		}
	}
	add(cmd.PersistentFlags(), missingFlags[""])
	for _, c := range cmd.Commands() {
		add(c.Flags(), missingFlags[c.Name()])
		if n := c.Name(); n == "create" || n == "run" {
			refuseFlag(c.Flags(), "no-subreaper", "", &refusedValue{why: "cfs is never a subreaper", but: []string{"true"}}, "true")
		}
	}
	for name, why := range missingCommands {
		cmd.AddCommand(&cobra.Command{
			Use: name, Hidden: true, DisableFlagParsing: true,
			RunE: func(*cobra.Command, []string) error { return fmt.Errorf("%s is not supported: %s", name, why) },
		})
	}
}
