package bench

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Conditions are what the figures depend on.
type Conditions struct {
	Kernel     string `json:"kernel"`
	CPU        string `json:"cpu"`
	CPUs       int    `json:"cpus"`
	MemoryMiB  int64  `json:"memory_mib"`
	Filesystem string `json:"filesystem"` // of what is read and written
	Go         string `json:"go"`
	Rounds     int    `json:"rounds"`
	Tree       string `json:"tree,omitempty"`  // what is served or packed
	Cache      string `json:"cache,omitempty"` // what warm and cold mean

	Version string            `json:"version,omitempty"` // of cfs
	User    string            `json:"user,omitempty"`    // in whose name it ran
	Started *time.Time        `json:"started,omitempty"`
	Seconds int               `json:"seconds,omitempty"` // that it took
	Tools   map[string]string `json:"tools,omitempty"`   // versions of others' programs that took part
	Noise   *Noise            `json:"noise,omitempty"`
}

// Here fills in what the host says; the rest is the caller's.
func Here() Conditions {
	c := Conditions{CPUs: runtime.NumCPU(), Go: runtime.Version(), CPU: cpuModel()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		c.Kernel = unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
	}
	var s unix.Sysinfo_t
	if unix.Sysinfo(&s) == nil {
		c.MemoryMiB = int64(s.Totalram) * int64(s.Unit) >> 20
	}
	return c
}

func (c Conditions) String() string {
	s := fmt.Sprintf("kernel %s, %d × %s, %d MiB, %s, filesystem: %s, %d rounds", c.Kernel, c.CPUs, c.CPU, c.MemoryMiB, c.Go, c.Filesystem, c.Rounds)
	if c.Tree != "" {
		s += "\ntree: " + c.Tree
	}
	if c.Cache != "" {
		s += "\ncaches: " + c.Cache
	}
	return s
}

func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, ok := strings.CutPrefix(s.Text(), "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return runtime.GOARCH
}
