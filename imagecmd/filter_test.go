package imagecmd

import (
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	local := time.Local
	time.Local = time.FixedZone("here", 3600)
	defer func() { time.Local = local }()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{
		"10m":                        "2026-11-28T11:50:00Z",
		"1h30m":                      "2026-11-28T10:30:00Z",
		"2026-11-23":                 "2026-11-22T23:00:00Z",
		"2026-11-23T02":              "2026-11-23T01:00:00Z",
		"2026-11-23T02:32":           "2026-11-23T01:32:00Z",
		"2026-11-23T02:32:35":        "2026-11-23T01:32:35Z",
		"2026-11-23T02:32:35.5":      "2026-11-23T01:32:35.5Z",
		"2026-11-23T02:32:35Z":       "2026-11-23T02:32:35Z",
		"2026-11-23T02:32:35-07:00":  "2026-11-23T09:32:35Z",
		"2026-11-23Z":                "2026-11-23T00:00:00Z",
		"1700000000":                 "2023-11-14T22:13:20Z",
		"1700000000.000000001":       "2023-11-14T22:13:20.000000001Z",
		"0":                          "1970-01-01T00:00:00Z",
		"yesterday":                  `failed to parse value as time or duration: "yesterday"`,
		"1700000000.-1":              `failed to parse value as time or duration: "1700000000.-1"`,
		"":                           `failed to parse value as time or duration: ""`,
		"2026-11-23T02:32:35.5+0100": `failed to parse value as time or duration: "2026-11-23T02:32:35.5+0100"`,
	} {
		got, err := parseTime(in, now)
		said := got.UTC().Format(time.RFC3339Nano)
		if err != nil {
			said = err.Error()
		}
		if said != want {
			t.Errorf("%s: %s, want %s", in, said, want)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"10m", "2026-11-23T02:32:35.5", "2026-11-23T02:32:35-07:00", "1700000000.000000001", "-1", "1e9", ".5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		now := time.Unix(1700000000, 0)
		a, err := parseTime(s, now)
		if b, again := parseTime(s, now); !a.Equal(b) || (err == nil) != (again == nil) {
			t.Errorf("%q is %v and %v", s, a, b)
		}
	})
}

func TestFilters(t *testing.T) {
	labels := map[string]string{"a": "1", "b": ""}
	for _, tc := range []struct {
		filters []string
		labels  bool
	}{
		{nil, true},
		{[]string{"label=a"}, true},
		{[]string{"label=a=1", "label=b"}, true},
		{[]string{"label=a=2"}, false},
		{[]string{"label=a", "label=c"}, false},
		{[]string{"label!=a"}, false},
		{[]string{"label!=c"}, true},
		{[]string{"LABEL = a"}, true},
	} {
		var f Filters
		for _, s := range tc.filters {
			if err := f.Set(s); err != nil {
				t.Fatal(err)
			}
		}
		if f.labels(labels) != tc.labels {
			t.Errorf("%v: %v", f.String(), !tc.labels)
		}
	}
	var f Filters
	if err := f.Set("x"); err == nil || err.Error() != "bad format of filter (expected name=value)" {
		t.Error(err)
	}
	for _, s := range []string{"", "dangling=true", "dangling=0"} {
		if err := f.Set(s); err != nil {
			t.Error(err)
		}
	}
	if _, err := f.boolean("dangling"); err == nil || err.Error() != "Invalid filter 'dangling=[true 0]'" {
		t.Error(err)
	}
	if err := f.check("label"); err == nil || err.Error() != "Invalid filter 'dangling'" {
		t.Error(err)
	}
}
