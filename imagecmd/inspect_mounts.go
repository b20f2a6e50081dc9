package imagecmd

import "slices"

// MountPoint is something that is mounted in a container when it runs.
type MountPoint struct {
	Type        string // bind, volume or tmpfs
	Name        string `json:",omitempty"` // of a volume
	Source      string // on the host
	Destination string
	Driver      string `json:",omitempty"` // of a volume
	Mode        string // the options that -v said
	RW          bool
	Propagation string
}

// MountSpec is a mount as --mount asked for it.
type MountSpec struct {
	Type          string
	Source        string `json:",omitempty"`
	Target        string
	ReadOnly      bool           `json:",omitempty"`
	BindOptions   *BindOptions   `json:",omitempty"`
	VolumeOptions *VolumeOptions `json:",omitempty"`
}

// BindOptions are of a bind mount.
type BindOptions struct {
	Propagation      string `json:",omitempty"`
	NonRecursive     bool   `json:",omitempty"`
	CreateMountpoint bool   `json:",omitempty"`
}

// VolumeOptions are of a volume's mount.
type VolumeOptions struct {
	NoCopy       bool              `json:",omitempty"`
	Labels       map[string]string `json:",omitempty"`
	Subpath      string            `json:",omitempty"`
	DriverConfig *DriverConfig     `json:",omitempty"`
}

// DriverConfig is how a volume is made.
type DriverConfig struct {
	Name    string            `json:",omitempty"`
	Options map[string]string `json:",omitempty"`
}

// mountPoints are what the container has mounted when it runs.
func (c *Container) mountPoints() []MountPoint {
	points := []MountPoint{}
	for _, m := range c.Options.Mounts {
		if m.Type == mountTmpfs && !m.Long {
			continue // --tmpfs, which the host's configuration has
		}
		p := MountPoint{Type: m.Type, Source: m.Source, Destination: m.Target, Mode: m.Mode, RW: m.writable()}
		switch m.Type {
		case mountVolume:
			p.Name, p.Driver, p.Source = m.Source, localDriver, (&Volume{dir: OpenVolumes(c.root()).path(m.Source)}).Mountpoint()
			if p.Mode == "" && !m.Anonymous {
				p.Mode = "z" // as Docker has it
			}
		case mountBind:
			p.Propagation = m.propagation()
		}
		points = append(points, p)
	}
	return points
}

func (m MountOption) propagation() string {
	for _, o := range m.Options {
		if slices.Contains(propagations, o) {
			return o
		}
	}
	return ""
}

// asked are the mounts in the words of the flags that a person used: -v, --tmpfs and --mount.
// Anonymous volumes of -v, and of the image, are in the configuration.
func (o ShapeOptions) asked() (binds []string, tmpfs map[string]string, mounts []MountSpec) {
	for _, m := range o.Mounts {
		switch {
		case m.Spec != "":
			binds = append(binds, m.Spec)
		case m.From != "":
		case m.Type == mountTmpfs && !m.Long:
			if tmpfs == nil {
				tmpfs = map[string]string{}
			}
			tmpfs[m.Target] = m.Mode
		case m.Long:
			mounts = append(mounts, m.long())
		}
	}
	return binds, tmpfs, mounts
}

// long is the mount as --mount asked for it.
func (m MountOption) long() MountSpec {
	s := MountSpec{Type: m.Type, Source: m.Source, Target: m.Target, ReadOnly: !m.writable()}
	switch m.Type {
	case mountBind:
		b := BindOptions{NonRecursive: slices.Contains(m.Options, "bind"), CreateMountpoint: m.MakeSource}
		if p := m.propagation(); p != "rprivate" {
			b.Propagation = p
		}
		if b != (BindOptions{}) {
			s.BindOptions = &b
		}
	case mountVolume:
		if m.Anonymous {
			s.Source = ""
		}
		if m.NoCopy || m.Subpath != "" || m.Labels != nil || m.DriverOptions != nil {
			s.VolumeOptions = &VolumeOptions{NoCopy: m.NoCopy, Labels: m.Labels, Subpath: m.Subpath}
			if m.DriverOptions != nil {
				s.VolumeOptions.DriverConfig = &DriverConfig{Name: localDriver, Options: m.DriverOptions}
			}
		}
	}
	return s
}
