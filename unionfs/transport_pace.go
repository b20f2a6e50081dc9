package unionfs

import (
	"time"

	"golang.org/x/sys/unix"
)

// A pace decides how a worker waits for the next request: by looking for it
// again and again for a while, or by going to sleep at once.
//
// Neither is always right. Where CPUs are idle, waking one from its sleep costs
// more than the request (measured on a virtual machine of two CPUs, a GETATTR:
// 14 to 21 µs when the server looks, 24 to 47 µs when it sleeps, and less
// CPU time in all). Where they are busy, a server that sleeps hands its CPU to
// whoever asks (8 to 12 µs), and one that looks keeps it from him (18 to 26 µs).
// So a worker looks when the requests that it slept for were a long time coming,
// yet within spin, and stops when the scheduler takes the CPU away from it:
// somebody else wants it. It tries again after a while, which doubles each time.
// When requests are further apart than spin, nobody looks at all.
type pace struct {
	spin  time.Duration // for how long to look; 0: never
	taken func() int64  // how often this thread's CPU was taken away from it

	looking bool
	hot     int           // how often requests came within spin, 0 to hotMax
	gap     time.Duration // smoothed time that a request was slept for
	checked int           // requests until taken is looked at
	before  int64         // taken then
	good    int           // checks in a row without a loss
	pause   time.Duration // without looking, after a loss
	retry   time.Time
}

const (
	hotMax     = 16
	hotFrom    = 8
	sleepWorth = 10 * time.Microsecond // a gap that short had no idle CPU in it
	checkEvery = 32
	lossLimit  = 2 // CPU taken away within checkEvery requests
	pauseMin   = time.Millisecond
	pauseMax   = 16 * time.Millisecond
	goodReset  = 8
)

// came records that the next request came after gap, at now.
func (p *pace) came(gap time.Duration, now time.Time) {
	if p.spin <= 0 {
		return
	}
	// Asleep, the wake-up is part of the gap.
	if gap < p.spin || !p.looking && gap < 3*p.spin {
		p.hot = min(p.hot+1, hotMax)
	} else if p.hot = max(p.hot-4, 0); p.hot < hotFrom {
		p.looking = false
	}
	if p.looking {
		p.check(now)
		return
	}
	p.gap += (min(gap, 4*p.spin) - p.gap) / 8
	if p.hot == hotMax && p.gap > sleepWorth && now.After(p.retry) {
		p.looking, p.checked, p.before = true, 0, p.taken()
	}
}

// check ends the looking when others want the CPU.
func (p *pace) check(now time.Time) {
	if p.checked++; p.checked < checkEvery {
		return
	}
	p.checked = 0
	taken := p.taken()
	lost := taken-p.before >= lossLimit
	p.before = taken
	if !lost {
		if p.good++; p.good >= goodReset {
			p.pause = 0
		}
		return
	}
	p.looking, p.good, p.gap = false, 0, 0
	p.pause = min(max(2*p.pause, pauseMin), pauseMax)
	p.retry = now.Add(p.pause)
}

// threadTaken is the number of involuntary context switches of this thread.
func threadTaken() int64 {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &r); err != nil {
		return 0
	}
	return r.Nivcsw
}
