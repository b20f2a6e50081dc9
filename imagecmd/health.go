package imagecmd

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"

	"github.com/cfs-project/cfs/imagecmd/store"
)

// What is so if nobody says otherwise, as Docker's.
const (
	healthInterval      = 30 * time.Second
	healthTimeout       = 30 * time.Second
	healthStartInterval = 5 * time.Second
	healthRetries       = 3
)

// The values of [Health.Status].
const (
	HealthNone      = "none" // it isn't checked
	HealthStarting  = "starting"
	HealthHealthy   = "healthy"
	HealthUnhealthy = "unhealthy"
)

// Bounds of what is kept of checks, as Docker's: bytes of output, and results.
const (
	maxHealthOutput = 4096
	maxHealthLog    = 5
)

// containerHealth is the file with a container's health, in its directory, written by its
// monitor.
const containerHealth = "health.json"

// A Health is what is known of a container's health.
type Health struct {
	Status        string
	FailingStreak int // failures in a row
	Log           []HealthResult
}

// A HealthResult is how a check went.
type HealthResult struct {
	Start    time.Time
	End      time.Time
	ExitCode int    // 0: well; -1: the check didn't end, or couldn't be made
	Output   string // at most 4096 bytes and "..."
}

// NoHealthcheck is the check of a container that isn't checked, whatever its image says.
func NoHealthcheck() *Healthcheck { return &Healthcheck{Test: []string{"NONE"}} }

// Check refuses times that are too short, in Docker's words.
func (h *Healthcheck) Check() error {
	for _, t := range []struct {
		name string
		d    time.Duration
	}{{"Interval", h.Interval}, {"Timeout", h.Timeout}, {"StartPeriod", h.StartPeriod}, {"StartInterval", h.StartInterval}} {
		if t.d != 0 && t.d < time.Millisecond {
			return sentencef(nil, "%s in Healthcheck cannot be less than 1ms", t.name)
		}
	}
	if h.Retries < 0 {
		return sentencef(nil, "Retries in Healthcheck cannot be negative")
	}
	return nil
}

// wanted tells whether there is something to run.
func (h *Healthcheck) wanted() bool {
	return h != nil && len(h.Test) > 1 && (h.Test[0] == "CMD" || h.Test[0] == "CMD-SHELL")
}

// over lays what a person asked for over what an image has; nil is no check.
func (h *Healthcheck) over(image *dockerspec.HealthcheckConfig) *Healthcheck {
	var out Healthcheck
	if image != nil {
		out = Healthcheck(*image)
	}
	if h != nil {
		if len(h.Test) > 0 {
			out.Test = h.Test
		}
		for _, t := range []struct{ to, from *time.Duration }{
			{&out.Interval, &h.Interval}, {&out.Timeout, &h.Timeout}, {&out.StartPeriod, &h.StartPeriod}, {&out.StartInterval, &h.StartInterval},
		} {
			if *t.from != 0 {
				*t.to = *t.from
			}
		}
		if h.Retries != 0 {
			out.Retries = h.Retries
		}
	}
	if len(out.Test) == 0 {
		return nil
	}
	return &out
}

// fromImage lays what was asked for over what the image says.
func (o *LifeOptions) fromImage(ctx context.Context, st *store.Store, img store.Image) error {
	c, err := readImageConfig(ctx, st, img)
	if err != nil {
		return err
	}
	if o.Health = o.Health.over(c.Config.Healthcheck); o.Health.wanted() {
		o.HealthShell = c.Config.Shell
	}
	return nil
}

// args are the command of a check.
func (h *Healthcheck) args(shell []string) []string {
	if h.Test[0] == "CMD" {
		return h.Test[1:]
	}
	if len(shell) == 0 {
		shell = []string{"/bin/sh", "-c"}
	}
	return append(slices.Clone(shell), h.Test[1])
}

// orDefault is a duration, or what it is if nobody says.
func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// health is a container's health; nil if it isn't checked. Of one that doesn't run it is
// "unhealthy", as with Docker.
func (c *Container) health(running bool) (*Health, error) {
	if !c.Options.Health.wanted() {
		return nil, nil
	}
	h := &Health{Status: HealthStarting}
	err := readJSON(c.path(containerHealth), h)
	if errors.Is(err, fs.ErrNotExist) {
		if !running {
			return nil, nil // it never ran
		}
		err = nil
	}
	if err == nil && !running {
		h.Status = HealthUnhealthy
	}
	return h, err
}

// healthStatuses are those that `ps --filter health=` takes.
var healthStatuses = []string{HealthNone, HealthStarting, HealthHealthy, HealthUnhealthy}

// healthStatus is one of them.
func (c *Container) healthStatus(running bool) string {
	if h, err := c.health(running); err == nil && h != nil {
		return h.Status
	}
	return HealthNone
}

// describeHealth is what `ps` says of the health of a container that runs.
func (c *Container) describeHealth() string {
	h, err := c.health(true)
	switch {
	case err != nil || h == nil:
		return ""
	case h.Status == HealthStarting:
		return " (health: starting)"
	default:
		return " (" + h.Status + ")"
	}
}

// add takes in a result.
func (h *Health) add(r HealthResult, check *Healthcheck, started time.Time) {
	if n := len(h.Log) - (maxHealthLog - 1); n > 0 {
		h.Log = slices.Delete(h.Log, 0, n)
	}
	h.Log = append(h.Log, r)
	if r.ExitCode == 0 {
		h.FailingStreak, h.Status = 0, HealthHealthy
		return
	}
	if h.Status == HealthStarting && r.Start.Sub(started) < check.StartPeriod {
		return // it may still come up
	}
	h.FailingStreak++
	retries := check.Retries
	if retries <= 0 {
		retries = healthRetries
	}
	if h.FailingStreak >= retries {
		h.Status = HealthUnhealthy
	}
}

// wait is how long to wait until the next check.
func (h *Health) wait(check *Healthcheck, up time.Duration) time.Duration {
	if h.Status == HealthStarting && check.StartPeriod > 0 && up < check.StartPeriod {
		return orDefault(check.StartInterval, healthStartInterval)
	}
	return orDefault(check.Interval, healthInterval)
}
