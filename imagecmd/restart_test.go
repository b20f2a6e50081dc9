package imagecmd

import (
	"testing"
	"time"
)

func TestParseRestart(t *testing.T) {
	for s, want := range map[string]RestartPolicy{
		"": {}, "no": {Name: "no"}, "always": {Name: "always"}, "unless-stopped": {Name: "unless-stopped"},
		"on-failure": {Name: "on-failure"}, "on-failure:3": {Name: "on-failure", Retries: 3},
	} {
		if got, err := ParseRestart(s); got != want || err != nil {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
	}
	for s, want := range map[string]string{
		":3":            "invalid restart policy format: policy name is empty",
		"on-failure:x":  "invalid restart policy format: maximum retry count must be an integer",
		"on-failure:-1": "invalid restart policy: maximum retry count cannot be negative",
		"always:1":      "invalid restart policy: maximum retry count can only be used with 'on-failure'",
		"never":         "invalid restart policy: unknown policy 'never'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
	} {
		if _, err := ParseRestart(s); err == nil || err.Error() != want {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestRestartAgain(t *testing.T) {
	for _, c := range []struct {
		p                RestartPolicy
		status, restarts int
		want             bool
	}{
		{RestartPolicy{}, 1, 0, false}, {RestartPolicy{Name: restartNo}, 1, 0, false},
		{RestartPolicy{Name: restartAlways}, 0, 1000, true}, {RestartPolicy{Name: restartUnlessStopped}, 0, 9, true},
		{RestartPolicy{Name: restartOnFailure}, 0, 0, false}, {RestartPolicy{Name: restartOnFailure}, 1, 1000, true},
		{RestartPolicy{Name: restartOnFailure, Retries: 2}, 1, 1, true}, {RestartPolicy{Name: restartOnFailure, Retries: 2}, 1, 2, false},
	} {
		if got := c.p.again(c.status, c.restarts); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestRestartWait(t *testing.T) {
	var p RestartPolicy
	var wait, sum time.Duration
	for range 30 {
		next := p.wait(time.Second, wait)
		if next < wait || next > restartMost || wait > 0 && next != min(2*wait, restartMost) {
			t.Fatalf("%v after %v", next, wait)
		}
		wait = next
		sum += wait
	}
	if wait != restartMost {
		t.Errorf("it stays at %v", wait)
	}
	if got := p.wait(restartGood, wait); got != restartFirst {
		t.Errorf("%v after a good run", got)
	}
}
