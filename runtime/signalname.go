package runtime

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ParseSignal reads a signal as people write it: a number, or a name with or without SIG.
func ParseSignal(s string) (unix.Signal, bool) {
	if n, err := strconv.Atoi(s); err == nil {
		return unix.Signal(n), n >= 1 && n <= 64
	}
	name := "SIG" + strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if n := unix.SignalNum(name); n != 0 {
		return n, true
	}
	// Real-time signals, counted from either end (signal(7)).
	if rest, ok := strings.CutPrefix(name, "SIGRTM"); ok {
		base, sign := 34, 1
		if strings.HasPrefix(rest, "AX") {
			base, sign = 64, -1
		}
		digits := strings.TrimLeft(rest[min(2, len(rest)):], "+-")
		n := 0
		var err error
		if digits != "" {
			n, err = strconv.Atoi(digits)
		}
		if v := base + sign*n; err == nil && (strings.HasPrefix(rest, "IN") || strings.HasPrefix(rest, "AX")) && v >= 34 && v <= 64 {
			return unix.Signal(v), true
		}
	}
	return 0, false
}
