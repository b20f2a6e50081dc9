package imagecmd

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// timeLayouts are the forms of RFC 3339 that Docker reads, less and less exact.
// Without a zone they are of the local one.
var timeLayouts = []string{
	"2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02",
}

// parseTime reads the time of a filter: how long before now ("10m", "1h30m"), a
// date with or without time and zone, or seconds since 1970, with a fraction or
// without one.
func parseTime(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil && s != "0" {
		return now.Add(-d), nil
	}
	for _, layout := range timeLayouts {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
		if t, err := time.Parse(layout+"Z07:00", s); err == nil {
			return t, nil
		}
	}
	whole, fraction, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	nsec := int64(0)
	if err == nil && fraction != "" {
		digits := (fraction + "000000000")[:9]
		nsec, err = strconv.ParseInt(digits, 10, 64)
	}
	if err != nil || nsec < 0 || strings.HasPrefix(fraction, "+") {
		return time.Time{}, fmt.Errorf("failed to parse value as time or duration: %q", s)
	}
	return time.Unix(sec, nsec), nil
}

// until is the time before which `until` wants things to have been made; zero:
// it does not ask.
func (f *Filters) until(now time.Time) (time.Time, error) {
	values := f.of("until")
	switch len(values) {
	case 0:
		return time.Time{}, nil
	case 1:
	default:
		return time.Time{}, fmt.Errorf("more than one until filter specified")
	}
	t, err := parseTime(values[0], now)
	if err != nil {
		return t, fmt.Errorf("invalid value for 'until' filter: %w", err)
	}
	return t, nil
}
