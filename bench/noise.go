package bench

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Noise is how much else went on while a benchmark ran.
type Noise struct {
	// Spin is how much longer, in per cent, a tenth of the runs of a fixed computation
	// took, or more, than the fastest: on a quiet host it is next to nothing.
	Spin float64 `json:"spin_percent"`
	// Steal is the part of the CPUs' time, in per cent, that the hypervisor gave to others.
	Steal float64 `json:"steal_percent"`
	// Others is the part of the CPUs' time, in per cent, that is neither the
	// benchmark's nor idle: other processes, and the kernel's threads, which write what
	// the benchmark wrote.
	Others float64 `json:"others_percent"`
	// Load is the load average of one minute at the start.
	Load float64 `json:"load"`
	// Noisy tells that it is too much for small differences to mean anything.
	Noisy bool `json:"noisy"`
}

// What is too much.
const (
	maxSpin   = 20
	maxSteal  = 3
	maxOthers = 25
)

// String says what there was of it.
func (n Noise) String() string {
	s := fmt.Sprintf("a fixed computation took up to %.0f %% longer at times, others had %.0f %% of the CPUs, the hypervisor took %.0f %%, load %.1f at the start",
		n.Spin, n.Others, n.Steal, n.Load)
	if n.Noisy {
		return "this host was NOISY: " + s
	}
	return "the host was quiet: " + s
}

// A Listener measures noise.
type Listener struct {
	spins  []time.Duration
	before cpuTimes
	load   float64
}

// Listen begins.
func Listen() *Listener {
	l := &Listener{before: readCPUTimes()}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		_, _ = fmt.Sscan(string(b), &l.load) // 0 if it is not there
	}
	return l
}

// Spin does the fixed computation. It takes about two milliseconds, and is called
// again and again during the benchmark, between what is timed.
func (l *Listener) Spin() {
	start := time.Now()
	x := uint64(1)
	for range 1 << 20 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	if d := time.Since(start); x != 0 {
		l.spins = append(l.spins, d)
	}
}

// Noise is what was heard since Listen.
func (l *Listener) Noise() Noise {
	n := Noise{Load: l.load}
	if len(l.spins) > 0 {
		o := slices.Sorted(slices.Values(l.spins))
		n.Spin = 100 * (float64(o[len(o)*9/10])/float64(o[0]) - 1)
	}
	now := readCPUTimes()
	if all := now.all - l.before.all; all > 0 {
		n.Steal = 100 * (now.steal - l.before.steal) / all
		n.Others = 100 * max(0, (now.busy-l.before.busy)-(now.own-l.before.own)) / all
	}
	for _, f := range []*float64{&n.Spin, &n.Steal, &n.Others} {
		*f = math.Round(*f*10) / 10
	}
	n.Noisy = n.Spin > maxSpin || n.Steal > maxSteal || n.Others > maxOthers
	return n
}

// cpuTimes are seconds that all CPUs together spent (proc_stat(5), getrusage(2)).
type cpuTimes struct{ all, busy, steal, own float64 }

// userHz is what /proc/stat counts in, on every Linux that Go runs on.
const userHz = 100

func readCPUTimes() (t cpuTimes) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return t
	}
	line, _, _ := strings.Cut(string(b), "\n")
	var user, nice, system, idle, iowait, irq, softirq, steal float64
	if _, err := fmt.Sscanf(line, "cpu %g %g %g %g %g %g %g %g", &user, &nice, &system, &idle, &iowait, &irq, &softirq, &steal); err != nil {
		return t
	}
	t.busy = (user + nice + system + irq + softirq) / userHz
	t.steal = steal / userHz
	t.all = t.busy + t.steal + (idle+iowait)/userHz
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var r unix.Rusage
		if unix.Getrusage(who, &r) == nil {
			t.own += time.Duration(r.Utime.Nano() + r.Stime.Nano()).Seconds()
		}
	}
	return t
}
