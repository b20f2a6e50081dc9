package imagecmd

import (
	"errors"
	"slices"
	"strings"
)

// Filters are the values of a repeated --filter KEY=VALUE, and a flag's value.
type Filters struct{ list []filter }

type filter struct{ key, value string }

// Set adds one filter; an empty one is none.
func (f *Filters) Set(s string) error {
	if s == "" {
		return nil
	}
	key, value, ok := strings.Cut(s, "=")
	if !ok {
		return errors.New("bad format of filter (expected name=value)")
	}
	f.list = append(f.list, filter{strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)})
	return nil
}

// Type is what help calls the value.
func (f *Filters) Type() string { return "filter" }

func (f *Filters) String() string {
	var all []string
	for _, x := range f.list {
		all = append(all, x.key+"="+x.value)
	}
	return strings.Join(all, ",")
}

// of are the values of a key.
func (f *Filters) of(key string) []string {
	var values []string
	for _, x := range f.list {
		if x.key == key {
			values = append(values, x.value)
		}
	}
	return values
}

// check refuses every key but the accepted ones.
func (f *Filters) check(accepted ...string) error {
	for _, x := range f.list {
		if !slices.Contains(accepted, x.key) {
			return sentencef(nil, "Invalid filter '%s'", x.key)
		}
	}
	return nil
}

// boolean is the value of a key that is true or false; not set is nil.
func (f *Filters) boolean(key string) (*bool, error) {
	values := f.of(key)
	var yes, no int
	for _, v := range values {
		switch strings.ToLower(v) {
		case "true", "1":
			yes++
		case "false", "0":
			no++
		}
	}
	switch {
	case len(values) == 0:
		return nil, nil
	case yes+no < len(values) || yes > 0 && no > 0:
		return nil, sentencef(nil, "Invalid filter '%s=%v'", key, values)
	}
	is := yes > 0
	return &is, nil
}

// labels tells whether labels have all that `label` asks for, KEY or KEY=VALUE,
// and not all that `label!` does.
func (f *Filters) labels(labels map[string]string) bool {
	not := f.of("label!")
	return hasLabels(labels, f.of("label")) && (len(not) == 0 || !hasLabels(labels, not))
}

func hasLabels(labels map[string]string, want []string) bool {
	for _, w := range want {
		key, value, valued := strings.Cut(w, "=")
		if have, ok := labels[key]; !ok || valued && have != value {
			return false
		}
	}
	return true
}
