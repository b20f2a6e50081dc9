package imagecmd

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// LifeOptions are how a container's life is watched over, kept with it.
type LifeOptions struct {
	Health      *Healthcheck  `json:"health,omitempty"`      // how it is asked whether it is well; nil: it isn't
	HealthShell []string      `json:"healthShell,omitempty"` // the image's SHELL, which runs CMD-SHELL
	Restart     RestartPolicy `json:"restart,omitzero"`
}

// A RestartPolicy says when a container that has ended is started again.
type RestartPolicy struct {
	Name    string `json:"name,omitempty"`    // no, on-failure, always, unless-stopped; empty: no
	Retries int    `json:"retries,omitempty"` // of on-failure; 0: without bound
}

// The names of restart policies.
const (
	restartNo            = "no"
	restartOnFailure     = "on-failure"
	restartAlways        = "always"
	restartUnlessStopped = "unless-stopped"
)

// Wait before a container is started again: it doubles each time, up to restartMost, and
// begins anew with a container that ran for restartGood.
const (
	restartFirst = 100 * time.Millisecond
	restartMost  = time.Minute
	restartGood  = 10 * time.Second
)

// ParseRestart reads a policy as --restart takes it: NAME[:RETRIES].
func ParseRestart(s string) (RestartPolicy, error) {
	var p RestartPolicy
	if s == "" {
		return p, nil
	}
	name, count, counted := strings.Cut(s, ":")
	if name == "" {
		return p, errors.New("invalid restart policy format: policy name is empty")
	}
	p.Name = name
	if counted {
		var err error
		if p.Retries, err = strconv.Atoi(count); err != nil {
			return p, errors.New("invalid restart policy format: maximum retry count must be an integer")
		}
	}
	switch {
	case name != restartNo && name != restartOnFailure && name != restartAlways && name != restartUnlessStopped:
		return p, fmt.Errorf("invalid restart policy: unknown policy '%s'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'", name)
	case counted && name != restartOnFailure:
		return p, errors.New("invalid restart policy: maximum retry count can only be used with 'on-failure'")
	case p.Retries < 0:
		return p, errors.New("invalid restart policy: maximum retry count cannot be negative")
	}
	return p, nil
}

// none tells that the container stays ended.
func (p RestartPolicy) none() bool { return p.Name == "" || p.Name == restartNo }

// again tells whether a container that has ended with a status is started again, which
// it has been a number of times.
func (p RestartPolicy) again(status, restarts int) bool {
	switch p.Name {
	case restartAlways, restartUnlessStopped:
		return true
	case restartOnFailure:
		return status != 0 && (p.Retries == 0 || restarts < p.Retries)
	}
	return false
}

// wait is how long to wait before the next start, after a run of so long and, if it was
// not the first one, a wait of last before it.
func (p RestartPolicy) wait(ran, last time.Duration) time.Duration {
	if ran >= restartGood || last == 0 {
		return restartFirst
	}
	return min(2*last, restartMost)
}
