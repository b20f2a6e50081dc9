package registries

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/pelletier/go-toml/v2"
)

// ErrInvalid: a file is not what containers-registries.conf(5) allows.
var ErrInvalid = errors.New("invalid registries.conf")

// file is one file as it is written.
type file struct {
	Search     []string          `toml:"unqualified-search-registries"`
	Mode       string            `toml:"short-name-mode"`
	Aliases    map[string]string `toml:"aliases"`
	Registries []registry        `toml:"registry"`
	Version1   any               `toml:"registries"`
}

type registry struct {
	Prefix             string   `toml:"prefix"`
	Location           string   `toml:"location"`
	Insecure           bool     `toml:"insecure"`
	Blocked            bool     `toml:"blocked"`
	MirrorByDigestOnly bool     `toml:"mirror-by-digest-only"`
	Mirrors            []mirror `toml:"mirror"`
}

type mirror struct {
	Location string `toml:"location"`
	Insecure bool   `toml:"insecure"`
	PullFrom string `toml:"pull-from-mirror"`
}

// Paths are the files that count for this user, in the order in which they are
// read: $CONTAINERS_REGISTRIES_CONF alone where it is set; otherwise the user's
// file or else the system's, and then what both have in registries.conf.d.
func Paths() ([]string, error) {
	if one := os.Getenv("CONTAINERS_REGISTRIES_CONF"); one != "" {
		return []string{one}, nil
	}
	const system = "/etc/containers/registries.conf"
	user := ""
	if dir, err := os.UserConfigDir(); err == nil {
		user = filepath.Join(dir, "containers", "registries.conf")
	}
	main := system
	if _, err := os.Stat(user); user != "" && err == nil {
		main = user
	}
	out := []string{main}
	for _, base := range []string{system, user} {
		if base == "" {
			continue
		}
		more, err := filepath.Glob(filepath.Join(base+".d", "*.conf"))
		if err != nil {
			return nil, err
		}
		slices.Sort(more)
		out = append(out, more...)
	}
	return out, nil
}

// Load reads files, of which a later one adds to those before and overrides
// them. One that is not there says nothing, but for the only one of a list.
func Load(paths ...string) (*Config, error) {
	c := &Config{aliases: map[string]alias{}}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && (len(paths) > 1 || os.Getenv("CONTAINERS_REGISTRIES_CONF") == "") {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := c.add(path, string(raw)); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return c, nil
}

// parse reads one file.
func parse(text string) (file, error) {
	var f file
	err := toml.Unmarshal([]byte(text), &f)
	var at *toml.DecodeError
	if errors.As(err, &at) {
		line, column := at.Position()
		return f, fmt.Errorf("%w: line %d, column %d: %w", ErrInvalid, line, column, err)
	}
	if err != nil {
		return f, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if f.Version1 != nil {
		return f, fmt.Errorf("%w: [registries.…] is version 1 of the format, which is not read: say [[registry]] and unqualified-search-registries", ErrInvalid)
	}
	return f, nil
}

// add applies a file.
func (c *Config) add(path, text string) error {
	f, err := parse(text)
	if err != nil {
		return err
	}
	if f.Search != nil {
		c.search = f.Search
	}
	switch f.Mode {
	case "":
	case "enforcing", "permissive", "disabled":
		c.mode = f.Mode
	default:
		return fmt.Errorf("%w: short-name-mode %.40q", ErrInvalid, f.Mode)
	}
	for short, full := range f.Aliases {
		if full == "" { // the way to take an alias back
			delete(c.aliases, short)
			continue
		}
		a, err := newAlias(short, full, path)
		if err != nil {
			return err
		}
		c.aliases[short] = a
	}
	for _, r := range f.Registries {
		if err := r.check(); err != nil {
			return err
		}
		c.registries = slices.DeleteFunc(c.registries, func(o registry) bool { return o.Prefix == r.Prefix })
		c.registries = append(c.registries, r)
	}
	return nil
}

// check holds an entry against the rules, and fills in its prefix.
func (r *registry) check() error {
	r.Location = trimSlash(r.Location)
	r.Prefix = trimSlash(r.Prefix)
	if r.Prefix == "" {
		r.Prefix = r.Location
	}
	wild := isWild(r.Prefix)
	switch {
	case r.Prefix == "":
		return fmt.Errorf("%w: a [[registry]] with neither prefix nor location", ErrInvalid)
	case r.Location == "" && !wild:
		return fmt.Errorf("%w: prefix %.100q has no location", ErrInvalid, r.Prefix)
	case isWild(r.Location):
		return fmt.Errorf("%w: location %.100q can't be a pattern", ErrInvalid, r.Location)
	case !plainPlace(r.Prefix) || !plainPlace(r.Location):
		return fmt.Errorf("%w: prefix %.100q, location %.100q: HOST[:PORT][/PATH] is meant", ErrInvalid, r.Prefix, r.Location)
	}
	for i := range r.Mirrors {
		m := &r.Mirrors[i]
		m.Location = trimSlash(m.Location)
		if m.Location == "" || isWild(m.Location) || !plainPlace(m.Location) {
			return fmt.Errorf("%w: mirror of %.100q: location %.100q", ErrInvalid, r.Prefix, m.Location)
		}
		switch m.PullFrom {
		case "", "all", "digest-only", "tag-only":
		default:
			return fmt.Errorf("%w: pull-from-mirror %.40q", ErrInvalid, m.PullFrom)
		}
		if m.PullFrom != "" && r.MirrorByDigestOnly {
			return fmt.Errorf("%w: %.100q has both mirror-by-digest-only and pull-from-mirror", ErrInvalid, r.Prefix)
		}
	}
	return nil
}
