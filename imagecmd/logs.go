package imagecmd

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/cfs-project/cfs/imagecmd/internal/jsonlog"
)

// LogsOptions says what of a container's output is shown.
type LogsOptions struct {
	Follow       bool
	Tail         string // a number of lines, or "all"
	Since, Until string // a time, or an age such as 10m
	Timestamps   bool
	Details      bool      // as Docker: what a log driver's options keep beside a line, which is nothing, and a blank
	Now          time.Time // what ages are counted from; zero is the clock
}

// Logs writes what a container wrote, its errors to errs.
func Logs(ctx context.Context, root, name string, o LogsOptions, out, errs io.Writer) error {
	c, err := OpenContainers(root).Find(name)
	if err != nil {
		return err
	}
	if c.Options.Log.None {
		return fmt.Errorf("container %s keeps no log: it was made with --log-driver none", c.Label())
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	ro := jsonlog.ReadOptions{Tail: -1, Follow: o.Follow, Ended: func() bool { return !c.Running() }}
	if o.Tail != "" && o.Tail != "all" {
		if ro.Tail, err = strconv.Atoi(o.Tail); err != nil {
			return fmt.Errorf("invalid number of lines %q: a number, or all", o.Tail)
		}
	}
	for _, bound := range []struct {
		flag, value string
		at          *time.Time
	}{{"since", o.Since, &ro.Since}, {"until", o.Until, &ro.Until}} {
		if bound.value == "" {
			continue
		}
		if *bound.at, err = parseTime(bound.value, o.Now); err != nil {
			return fmt.Errorf("invalid value for %q: %w", bound.flag, err)
		}
	}
	return jsonlog.Read(ctx, c.path(containerLog), ro, func(e jsonlog.Entry) error {
		w := out
		if e.Stream == "stderr" {
			w = errs
		}
		line := e.Log
		if o.Details {
			line = " " + line
		}
		if o.Timestamps {
			line = e.Time.Format("2006-01-02T15:04:05.000000000Z07:00") + " " + line
		}
		_, err := io.WriteString(w, line)
		return err
	})
}
