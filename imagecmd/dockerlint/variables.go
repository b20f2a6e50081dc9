package dockerlint

import (
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/util/suggest"
)

// variables are those that words are expanded with.
type variables map[string]string

// Get implements shell.EnvGetter.
func (v variables) Get(name string) (string, bool) {
	value, ok := v[name]
	return value, ok
}

// Keys implements shell.EnvGetter.
func (v variables) Keys() []string { return slices.Sorted(maps.Keys(v)) }

// variablesOf are those of NAME=VALUE.
func variablesOf(env []string) variables {
	v := variables{}
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		v[name] = value
	}
	return v
}

// nearest is the name that was meant instead; "" if none is near.
func nearest(name string, names []string) string {
	match, _ := suggest.Search(name, names, true)
	return match
}
