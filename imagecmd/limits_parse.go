package imagecmd

import (
	"errors"
	"fmt"
	"math/big"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/docker/go-units"
)

// ParseCPUs reads a number of CPUs, as 1.5, into units of 1e-9.
func ParseCPUs(s string) (int64, error) {
	cpus, ok := new(big.Rat).SetString(s)
	if !ok {
		return 0, fmt.Errorf("failed to parse %v as a rational number", s)
	}
	nano := cpus.Mul(cpus, big.NewRat(1e9, 1))
	if !nano.IsInt() || !nano.Num().IsInt64() {
		return 0, errors.New("value is too precise")
	}
	return nano.Num().Int64(), nil
}

// ParseMemory reads a number of bytes, as 64m. With unlimited, -1 is one, too.
func ParseMemory(s string, unlimited bool) (int64, error) {
	if unlimited && s == "-1" {
		return -1, nil
	}
	return parseBytes(s)
}

// parseBytes reads a number of bytes, as 64m.
func parseBytes(s string) (int64, error) {
	n, err := units.RAMInBytes(s)
	if err == nil && n < 0 { // go-units doesn't see when it is more than an int64
		err = fmt.Errorf("invalid size: '%s' is too large", s)
	}
	return n, err
}

// ParseBps reads DEVICE:RATE, a rate in bytes a second, as 1mb.
func ParseBps(s string) (DeviceRate, error) {
	return parseRate(s, func(n string) (uint64, error) {
		rate, err := parseBytes(n)
		if err == nil && rate < 0 {
			err = errors.New("negative")
		}
		return uint64(rate), err
	}, "<device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb")
}

// ParseIOps reads DEVICE:RATE, a rate in operations a second.
func ParseIOps(s string) (DeviceRate, error) {
	return parseRate(s, func(n string) (uint64, error) { return strconv.ParseUint(n, 10, 64) },
		"<device-path>:<number>. Number must be a positive integer")
}

func parseRate(s string, number func(string) (uint64, error), form string) (DeviceRate, error) {
	path, rate, ok := strings.Cut(s, ":")
	if !ok {
		return DeviceRate{}, fmt.Errorf("bad format: %s", s)
	}
	if !strings.HasPrefix(path, "/dev/") {
		return DeviceRate{}, fmt.Errorf("bad format for device path: %s", s)
	}
	n, err := number(rate)
	if err != nil {
		return DeviceRate{}, fmt.Errorf("invalid rate for device: %s. The correct format is %s", s, form)
	}
	return DeviceRate{path, n}, nil
}

// ParseWeightDevice reads DEVICE:WEIGHT.
func ParseWeightDevice(s string) (DeviceRate, error) {
	path, weight, ok := strings.Cut(s, ":")
	if !ok {
		return DeviceRate{}, fmt.Errorf("bad format: %s", s)
	}
	if !strings.HasPrefix(path, "/dev/") {
		return DeviceRate{}, fmt.Errorf("bad format for device path: %s", s)
	}
	n, err := strconv.ParseUint(weight, 10, 16)
	if err != nil || n != 0 && (n < 10 || n > 1000) {
		return DeviceRate{}, fmt.Errorf("invalid weight for device: %s", s)
	}
	return DeviceRate{path, n}, nil
}

var deviceRule = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}$`) })

// CheckDeviceRule refuses what is no rule of a device cgroup, TYPE MAJOR:MINOR ACCESS.
func CheckDeviceRule(s string) error {
	if !deviceRule().MatchString(s) {
		return fmt.Errorf("invalid device cgroup format '%s'", s)
	}
	return nil
}

// maxSet bounds the numbers in a set: the kernel has fewer CPUs.
const maxSet = 1 << 13

// parseSet reads a list of numbers and ranges, as 0-2,4 (cpuset(7), "List format").
func parseSet(s string) (map[int]bool, error) {
	out := map[int]bool{}
	for part := range strings.SplitSeq(s, ",") {
		low, high, ranged := strings.Cut(part, "-")
		from, err := strconv.ParseUint(low, 10, 16)
		to := from
		if err == nil && ranged {
			to, err = strconv.ParseUint(high, 10, 16)
		}
		if err != nil || to < from || to >= maxSet {
			return nil, fmt.Errorf("invalid list %q", s)
		}
		for n := from; n <= to; n++ {
			out[int(n)] = true
		}
	}
	return out, nil
}

// onlineSet reads what of something there is; a machine that doesn't tell has number 0.
func onlineSet(file string) (map[int]bool, string) {
	if b, err := os.ReadFile(file); err == nil {
		text := strings.TrimSpace(string(b))
		if set, err := parseSet(text); err == nil {
			return set, text
		}
	}
	return map[int]bool{0: true}, "0"
}
