package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/cfs-project/cfs/imagecmd"
)

// lifeFlags are the flags of run and create about a container's health and its restarts.
type lifeFlags struct {
	restart, command                         string
	interval, timeout, startPeriod, startGap time.Duration
	retries                                  int
	none                                     bool
}

func (l *lifeFlags) register(f *pflag.FlagSet) {
	f.StringVar(&l.restart, "restart", "no", "start it again when it ends: `no|on-failure[:RETRIES]|always|unless-stopped`, by its monitor, so not after the host's end")
	f.StringVar(&l.command, "health-cmd", "", "`COMMAND`, for a shell, that tells whether the container is well")
	f.DurationVar(&l.interval, "health-interval", 0, "`TIME` between checks (default 30s)")
	f.DurationVar(&l.timeout, "health-timeout", 0, "`TIME` after which a check has failed (default 30s)")
	f.IntVar(&l.retries, "health-retries", 0, "`NUMBER` of failures in a row that make it unhealthy (default 3)")
	f.DurationVar(&l.startPeriod, "health-start-period", 0, "`TIME` to come up, in which failures don't count")
	f.DurationVar(&l.startGap, "health-start-interval", 0, "`TIME` between checks while it comes up (default 5s)")
	f.BoolVar(&l.none, "no-healthcheck", false, "don't check the container's health, whatever the image says")
}

// read takes in what the flags say.
func (l *lifeFlags) read(f *pflag.FlagSet, o *imagecmd.RunOptions) (err error) {
	if o.Restart, err = imagecmd.ParseRestart(l.restart); err != nil {
		return err
	}
	if f.Changed("restart") && o.Remove && l.restart != "no" {
		return errors.New("conflicting options: cannot specify both --restart and --rm")
	}
	given := false
	for _, name := range []string{"health-cmd", "health-interval", "health-timeout", "health-retries", "health-start-period", "health-start-interval"} {
		given = given || f.Changed(name)
	}
	if l.none {
		if given {
			return errors.New("--no-healthcheck conflicts with --health-* options")
		}
		o.Health = imagecmd.NoHealthcheck()
		return nil
	}
	if !given {
		return nil
	}
	for name, d := range map[string]time.Duration{
		"health-interval": l.interval, "health-timeout": l.timeout, "health-start-period": l.startPeriod, "health-start-interval": l.startGap,
	} {
		if d < 0 {
			return fmt.Errorf("--%s cannot be negative", name)
		}
	}
	if l.retries < 0 {
		return errors.New("--health-retries cannot be negative")
	}
	o.Health = &imagecmd.Healthcheck{Interval: l.interval, Timeout: l.timeout, StartPeriod: l.startPeriod, StartInterval: l.startGap, Retries: l.retries}
	if l.command != "" {
		o.Health.Test = []string{"CMD-SHELL", l.command}
	}
	return o.Health.Check()
}
