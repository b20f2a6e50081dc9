package imagecmd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// The story is one letter a check: . well, x not; the states after each.
func TestHealthAdd(t *testing.T) {
	const s, h, u = HealthStarting, HealthHealthy, HealthUnhealthy
	began := time.Unix(1000, 0)
	for _, c := range []struct {
		check  Healthcheck
		story  string // a check a second
		want   []string
		streak int
	}{
		{Healthcheck{}, "xxx.", []string{s, s, u, h}, 0},
		{Healthcheck{Retries: 1}, "x.x", []string{u, h, u}, 1},
		{Healthcheck{Retries: 2}, ".xx", []string{h, h, u}, 2},
		{Healthcheck{Retries: 2, StartPeriod: 3 * time.Second}, "xxxxx", []string{s, s, s, s, u}, 2},
		{Healthcheck{Retries: 1, StartPeriod: time.Minute}, "x.x", []string{s, h, u}, 1},
	} {
		health := &Health{Status: HealthStarting}
		var got []string
		for n, r := range c.story {
			at := began.Add(time.Duration(n) * time.Second)
			result := HealthResult{Start: at, Output: fmt.Sprint(n)}
			if r == 'x' {
				result.ExitCode = 1
			}
			health.add(result, &c.check, began)
			got = append(got, health.Status)
			if last := health.Log[len(health.Log)-1]; len(health.Log) > maxHealthLog || last.Output != fmt.Sprint(n) {
				t.Errorf("%s: the log has %d, the last %q", c.story, len(health.Log), last.Output)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" || health.FailingStreak != c.streak {
			t.Errorf("%+v: streak %d %s", c, health.FailingStreak, diff)
		}
	}
	health := &Health{}
	for n := range 9 {
		health.add(HealthResult{Output: fmt.Sprint(n)}, &Healthcheck{}, began)
	}
	if len(health.Log) != maxHealthLog || health.Log[0].Output != "4" {
		t.Errorf("%+v", health.Log)
	}
}

func TestHealthWait(t *testing.T) {
	check := &Healthcheck{Interval: time.Minute, StartPeriod: 10 * time.Second, StartInterval: time.Second}
	for _, c := range []struct {
		status string
		up     time.Duration
		want   time.Duration
	}{{HealthStarting, 0, time.Second}, {HealthStarting, 10 * time.Second, time.Minute}, {HealthHealthy, time.Second, time.Minute}} {
		if got := (&Health{Status: c.status}).wait(check, c.up); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if got := (&Health{Status: HealthStarting}).wait(&Healthcheck{StartPeriod: time.Second}, 0); got != healthStartInterval {
		t.Error(got)
	}
	if got := (&Health{Status: HealthStarting}).wait(&Healthcheck{}, 0); got != healthInterval {
		t.Error(got)
	}
}

func TestHealthOver(t *testing.T) {
	image := &dockerspec.HealthcheckConfig{Test: []string{"CMD", "a", "b"}, Interval: time.Minute, Retries: 5}
	if h := (*Healthcheck)(nil).over(image); !h.wanted() || h.Interval != time.Minute || fmt.Sprint(h.args(nil)) != "[a b]" {
		t.Errorf("%+v", h)
	}
	h := (&Healthcheck{Test: []string{"CMD-SHELL", "x y"}, Timeout: time.Second}).over(image)
	if fmt.Sprintf("%q", h.args([]string{"/bin/ash", "-ec"})) != `["/bin/ash" "-ec" "x y"]` || h.Retries != 5 || h.Timeout != time.Second {
		t.Errorf("%+v", h)
	}
	if fmt.Sprintf("%q", h.args(nil)) != `["/bin/sh" "-c" "x y"]` {
		t.Error(h.args(nil))
	}
	for _, h := range []*Healthcheck{NoHealthcheck().over(image), (*Healthcheck)(nil).over(nil), (&Healthcheck{Retries: 1}).over(nil), {Test: []string{"CMD"}}, {Test: []string{"X", "y"}}} {
		if h.wanted() {
			t.Errorf("%+v is wanted", h)
		}
	}
}

func TestCheckHealth(t *testing.T) {
	for want, h := range map[string]Healthcheck{
		"Interval in Healthcheck cannot be less than 1ms":      {Interval: time.Microsecond},
		"Timeout in Healthcheck cannot be less than 1ms":       {Timeout: -1},
		"StartPeriod in Healthcheck cannot be less than 1ms":   {StartPeriod: 1},
		"StartInterval in Healthcheck cannot be less than 1ms": {StartInterval: 1},
		"Retries in Healthcheck cannot be negative":            {Retries: -1},
	} {
		if err := h.Check(); err == nil || err.Error() != want {
			t.Errorf("%+v: %v", h, err)
		}
	}
}

func TestBoundedBuffer(t *testing.T) {
	b := &boundedBuffer{most: 5}
	for _, s := range []string{"abc", "de"} {
		if n, err := b.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	if b.String() != "abcde" {
		t.Error(b.String())
	}
	if n, err := b.Write([]byte(strings.Repeat("f", 100))); n != 100 || err != nil || b.String() != "abcde..." {
		t.Error(n, err, b.String())
	}
}
