package imagecmd

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// outermostFirst puts mounts that lie in others behind them.
func outermostFirst(mounts []MountOption) []MountOption {
	depth := func(m MountOption) int { return strings.Count(m.Target, "/") }
	return slices.SortedStableFunc(slices.Values(mounts), func(a, b MountOption) int { return depth(a) - depth(b) })
}

// assemble is everything that a container is to have mounted: what a person asked for;
// what containers have that he named; and a volume each where the image wants one. The
// first for a place counts.
func (cs Containers) assemble(asked []MountOption, from []string, image map[string]struct{}) ([]MountOption, error) {
	all := slices.Clone(asked)
	add := func(m MountOption) {
		if !slices.ContainsFunc(all, func(have MountOption) bool { return have.Target == m.Target }) {
			all = append(all, m)
		}
	}
	for _, spec := range from {
		theirs, err := cs.volumesFrom(spec)
		if err != nil {
			return nil, err
		}
		for _, m := range theirs {
			add(m)
		}
	}
	for _, target := range slices.Sorted(maps.Keys(image)) {
		at := path.Clean("/" + target)
		if at == "/" {
			return nil, fmt.Errorf("the image wants a volume at %q, which can't be one", target)
		}
		add(MountOption{Type: mountVolume, Target: at, Anonymous: true, Options: []string{"rbind", "rw", "rprivate"}})
	}
	for i := range all {
		if all[i].Type != mountVolume || all[i].Source != "" {
			continue
		}
		var err error
		if all[i].Source, err = newVolumeName(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// volumesFrom are the volumes and directories of the host that a container has: what
// CONTAINER[:MODE] says to --volumes-from.
func (cs Containers) volumesFrom(spec string) ([]MountOption, error) {
	name, mode, _ := strings.Cut(spec, ":")
	if name == "" {
		return nil, fmt.Errorf("malformed volumes-from specification: %s", spec)
	}
	read := ""
	for o := range strings.SplitSeq(mode, ",") {
		switch o {
		case "", "z", "Z": // labels for SELinux, which isn't used
		case "ro":
			read = "rro"
		case "rw":
			read = "rw"
		default:
			return nil, fmt.Errorf("invalid mode for volumes-from: %s", mode)
		}
	}
	c, err := cs.Find(name)
	if err != nil {
		return nil, err
	}
	var out []MountOption
	for _, m := range c.Options.Mounts {
		if m.Type == mountTmpfs {
			continue
		}
		m.Spec, m.Long, m.From, m.NoCopy = "", false, c.ID, true // whose it is has filled it
		m.Options = slices.Clone(m.Options)
		if read == "rro" && m.writable() {
			m.Options[1], m.Mode = read, "ro"
		}
		out = append(out, m)
	}
	return out, nil
}

// writable tells whether a mount can be written to.
func (m MountOption) writable() bool {
	return !slices.Contains(m.Options, "ro") && !slices.Contains(m.Options, "rro")
}

// makeVolumes makes those volumes of a container that is being made which are not there
// yet. undo removes them again. The names of containers are locked.
func (cs Containers) makeVolumes(mounts []MountOption) (undo func() error, err error) {
	vs := OpenVolumes(cs.root)
	var made []string
	undo = func() error {
		var errs []error
		for _, name := range made {
			errs = append(errs, os.RemoveAll(vs.path(name)))
		}
		return errors.Join(errs...)
	}
	for _, m := range mounts {
		if m.Type != mountVolume {
			continue
		}
		v := Volume{Name: m.Source, Labels: m.Labels, Options: m.DriverOptions}
		if m.Anonymous {
			v.Labels = maps.Clone(v.Labels)
			if v.Labels == nil {
				v.Labels = map[string]string{}
			}
			v.Labels[anonymousLabel] = ""
		}
		new, err := vs.make(v)
		if err != nil {
			return nil, errors.Join(err, undo())
		}
		if new {
			made = append(made, v.Name)
		}
	}
	return undo, nil
}

// withVolumes are the options with the directories that volumes are.
func (c *Container) withVolumes(o ShapeOptions) (ShapeOptions, error) {
	o.Mounts = slices.Clone(o.Mounts)
	for i, m := range o.Mounts {
		if m.Type != mountVolume {
			continue
		}
		v, err := OpenVolumes(c.root()).Find(m.Source)
		if err != nil {
			return o, err
		}
		o.Mounts[i].Type, o.Mounts[i].Source = mountBind, v.source()
	}
	return o, nil
}

// pinSubpaths replaces the sources of mounts that are a part of a volume by what is
// there now, so that nobody who has the volume too can put a link to somewhere else
// there. release is called once they are mounted.
func (c *Container) pinSubpaths(mounts []specs.Mount) (release func(), err error) {
	var files []*os.File
	release = func() { closeFiles(files) }
	for _, m := range c.Options.Mounts {
		if m.Type != mountVolume || m.Subpath == "" {
			continue
		}
		i := slices.IndexFunc(mounts, func(s specs.Mount) bool { return s.Destination == m.Target })
		if i < 0 {
			continue
		}
		f, err := openPart(mounts[i].Source, m.Subpath)
		if err != nil {
			release()
			return nil, fmt.Errorf("volume %s: cannot access path %s: %w", m.Source, m.Subpath, errors.Unwrap(err))
		}
		files = append(files, f)
		mounts[i].Source = procPath(f)
	}
	return release, nil
}

func openPart(dir, part string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	return rootedAt(fd).open(part, unix.O_PATH)
}

// volumes counts those that the container has.
func (c *Container) volumes() int {
	n := 0
	for _, m := range c.Options.Mounts {
		if m.Type == mountVolume {
			n++
		}
	}
	return n
}
