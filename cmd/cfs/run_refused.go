package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/pflag"
)

// refusedFlags are those of `docker run` that cfs has no meaning for, and why.
var refusedFlags = map[string]string{
	"cpu-count":       "it is of Windows",
	"cpu-percent":     "it is of Windows",
	"cpu-rt-period":   "kernels with cgroup v2 have no real-time groups",
	"cpu-rt-runtime":  "kernels with cgroup v2 have no real-time groups",
	"detach-keys":     "a container in the foreground ends with the command that started it: use run -d and attach",
	"gpus":            "there is no way to the host's GPUs: give their devices with --device",
	"io-maxbandwidth": "it is of Windows",
	"io-maxiops":      "it is of Windows",
	"kernel-memory":   "kernels don't count it apart any more",
	"link":            "there is no network of containers on which one could find another",
	"link-local-ip":   "there is no network of containers to have an address on",
	"pid":             "a container always has its own PID namespace, with which it ends",
	"runtime":         "cfs is the runtime",
	"userns":          "root has the host's user namespace, everybody else one of his own",
}

// fixedFlags are those that can only be what they are, and what that is.
var fixedFlags = map[string][]string{
	"disable-content-trust": {"true"},
	"isolation":             {"", "default"},
	"sig-proxy":             {"true"},
	"volume-driver":         {"", "local"},
}

// refuse gives a command the flags of `docker run` that are missing, so that whoever uses
// one reads why it is refused.
func refuse(f *pflag.FlagSet) {
	for name, why := range refusedFlags {
		refuseFlag(f, name, "", &refusedValue{why: why}, "")
	}
	for name, values := range fixedFlags {
		alone := ""
		if slices.Contains(values, "true") {
			alone = "true"
		}
		refuseFlag(f, name, "", &refusedValue{why: fmt.Sprintf("it is always %s", values[len(values)-1]), but: values}, alone)
	}
}

// refuseFlag adds a hidden flag, unless there is one of that name; alone is its value where
// none is given, and empty if there must be one.
func refuseFlag(f *pflag.FlagSet, name, short string, v pflag.Value, alone string) {
	if f.Lookup(name) != nil {
		return
	}
	f.VarP(v, name, short, "")
	f.Lookup(name).Hidden, f.Lookup(name).NoOptDefVal = true, alone
}

// refusedValue is the value of a flag that takes none, but perhaps what is so anyway.
type refusedValue struct {
	why string
	but []string
}

func (r *refusedValue) String() string { return "" }
func (r *refusedValue) Type() string   { return "string" }

func (r *refusedValue) Set(s string) error {
	if slices.Contains(r.but, s) {
		return nil
	}
	return errors.New("not supported: " + r.why)
}
