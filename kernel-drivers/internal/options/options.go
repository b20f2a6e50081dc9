// Package options keeps the settings of a driver that hold for all of a store: a file
// in the driver's home, with what was set and nothing else.
//
//	cfs driver set ──Set──► <home>/options.json ──Load──► Values, defaults filled in
package options

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

const fileName = "options.json"

// A Definition is one option that a driver has.
type Definition struct {
	Name    string
	Default string
	Usage   string
	// Check says why a value that is not empty won't do.
	Check func(value string) error
}

// Values are all options of a driver, by name.
type Values map[string]string

// Load reads what was set in home; the rest has its default.
func Load(home string, all []Definition) (Values, error) {
	set, err := read(home)
	if err != nil {
		return nil, err
	}
	v := Values{}
	for _, d := range all {
		v[d.Name] = d.Default
		if value, ok := set[d.Name]; ok {
			v[d.Name] = value
		}
	}
	return v, nil
}

// Set changes options in home; an empty value is the default again.
func Set(home string, all []Definition, changes map[string]string) error {
	set, err := read(home)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		d, err := find(all, name)
		if err != nil {
			return err
		}
		value := changes[name]
		if value == "" {
			delete(set, name)
			continue
		}
		if err := d.Check(value); err != nil {
			return fmt.Errorf("option %s=%s: %w", name, value, err)
		}
		set[name] = value
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	data, err := json.MarshalIndent(set, "", "  ")
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(filepath.Join(home, fileName), data, 0o600, renameio.WithTempDir(home)); err != nil {
		return err
	}
	return sys.SyncDir(home)
}

// List is what a driver's Options returns.
func List(home string, all []Definition) ([]cow.Option, error) {
	values, err := Load(home, all)
	if err != nil {
		return nil, err
	}
	var out []cow.Option
	for _, d := range all {
		out = append(out, cow.Option{Name: d.Name, Value: values[d.Name], Default: d.Default, Usage: d.Usage})
	}
	return out, nil
}

func find(all []Definition, name string) (Definition, error) {
	var names []string
	for _, d := range all {
		if d.Name == name {
			return d, nil
		}
		names = append(names, d.Name)
	}
	return Definition{}, fmt.Errorf("unknown option %q (there are: %s)", name, strings.Join(names, ", "))
}

func read(home string) (map[string]string, error) {
	set := map[string]string{}
	name := filepath.Join(home, fileName)
	data, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return set, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return set, nil
}
