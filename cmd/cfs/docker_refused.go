package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	noDaemon      = "there is no daemon to talk to"
	noCheckpoints = "there are no checkpoints"
	noSwarm       = "there are no swarms"
	noNetworks    = "there are none, host, bridge and container:NAME, see cfs run --network, and no others can be made"
	noTrust       = "there is no content trust: who names an image by its digest gets no other"
)

// dockerCommands are Docker's that cfs has none for, by all their words, and why.
var dockerCommands = map[string]string{
	"app": "it is a plugin of Docker's", "buildx": "there is cfs build", "checkpoint": noCheckpoints, "compose": "it is a plugin of Docker's",
	"config": noSwarm, "context": noDaemon, "dockerd": noDaemon, "events": "there is no daemon that sees what happens; see cfs wait, cfs ps and cfs logs -f",
	"network": noNetworks, "node": noSwarm, "plugin": "there is no daemon to plug in", "scout": "it is a plugin of Docker's", "secret": noSwarm, "service": noSwarm,
	"stack": noSwarm, "swarm": noSwarm, "system dial-stdio": noDaemon, "system events": "there is no daemon that sees what happens; see cfs wait, cfs ps and cfs logs -f",
	"trust": noTrust, "volume update": noSwarm,
}

// dockerGlobals are the flags of docker itself that cfs has no meaning for.
var dockerGlobals = []missingFlag{
	{"config", "", "the directory is that of DOCKER_CONFIG"},
	{"context", "", noDaemon},
	{"host", "H", noDaemon},
	{"log-level", "", "there is --debug"},
	{"tls", "", noDaemon}, {"tlscacert", "", noDaemon}, {"tlscert", "", noDaemon}, {"tlskey", "", noDaemon}, {"tlsverify", "", noDaemon},
}

// dockerFlags are flags of Docker's commands that cfs has no meaning for, beside those that
// [refuse] gives run and create.
var dockerFlags = map[string][]missingFlag{
	"builder prune": {
		{"keep-storage", "", "what builds leave isn't counted; there is --filter until=TIME"},
		{"max-used-space", "", "what builds leave isn't counted; there is --filter until=TIME"},
		{"min-free-space", "", "what builds leave isn't counted; there is --filter until=TIME"},
		{"reserved-space", "", "what builds leave isn't counted; there is --filter until=TIME"},
	},
	"create": {{"net-alias", "", refusedFlags["network-alias"]}, {"use-api-socket", "", noDaemon}},
	"images": {{"tree", "", "platforms are not listed; cfs manifest inspect -v shows those that a registry has"}},
	"rm":     {{"link", "l", "there are no links"}},
	"rmi":    {{"platform", "", "an image goes with all its platforms"}},
	"run":    {{"net-alias", "", refusedFlags["network-alias"]}, {"use-api-socket", "", noDaemon}},
	"start": {
		{"checkpoint", "", noCheckpoints}, {"checkpoint-dir", "", noCheckpoints},
		{"detach-keys", "", "a container that is attached to while it starts ends with the command that started it: use start and attach"},
	},
	"update":    {{"cpu-rt-period", "", refusedFlags["cpu-rt-period"]}, {"cpu-rt-runtime", "", refusedFlags["cpu-rt-runtime"]}, {"kernel-memory", "", refusedFlags["kernel-memory"]}},
	"volume ls": {{"cluster", "", noSwarm}},
	"volume create": {
		{"availability", "", noSwarm}, {"group", "", noSwarm}, {"limit-bytes", "", noSwarm}, {"required-bytes", "", noSwarm}, {"scope", "", noSwarm},
		{"secret", "", noSwarm}, {"sharing", "", noSwarm}, {"topology-preferred", "", noSwarm}, {"topology-required", "", noSwarm}, {"type", "", noSwarm},
	},
}

// shortForms are the names by which dockerFlags has what is also a command of a group.
var shortForms = map[string]string{"image ls": "images", "image rm": "rmi"}

// unknownFlag says of a flag that a command doesn't have why it is refused, if it is Docker's.
func unknownFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	if args := cmd.Flags().Args(); cmd.HasSubCommands() && len(args) > 0 {
		return unknownCommand(cmd, args[0])
	}
	_, path, _ := strings.Cut(cmd.CommandPath(), " ")
	if short, ok := shortForms[path]; ok {
		path = short
	}
	path = strings.TrimPrefix(path, "container ")
	for _, list := range [][]missingFlag{dockerFlags[path], dockerGlobals} {
		for _, m := range list {
			switch name := unknown.GetSpecifiedName(); {
			case name == m.name && unknown.GetSpecifiedShortnames() == "":
				return fmt.Errorf("--%s is not supported: %s", m.name, m.why)
			case m.short != "" && name == m.short && unknown.GetSpecifiedShortnames() != "":
				return fmt.Errorf("-%s, --%s is not supported: %s", m.short, m.name, m.why)
			}
		}
	}
	return err
}

// unknownCommand is what is said of what is no command: if it is Docker's, why it isn't.
func unknownCommand(parent *cobra.Command, name string) error {
	_, group, _ := strings.Cut(parent.CommandPath(), " ")
	err := fmt.Errorf("%q is not a command of %s", name, parent.CommandPath())
	if !parent.HasParent() {
		err = fmt.Errorf("%q is not a cfs command", name)
	}
	if why, ok := dockerCommands[strings.TrimSpace(group+" "+name)]; ok {
		err = fmt.Errorf("%s %s is not supported: %s", parent.CommandPath(), name, why)
	}
	return &usageError{err, parent.CommandPath()}
}
