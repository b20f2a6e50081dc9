package imagecmd

import (
	"strconv"
	"strings"

	"github.com/docker/go-connections/nat"

	"github.com/cfs-project/cfs/runtime"
)

// HostConfig is how a container was asked to meet its host.
type HostConfig struct {
	Binds           []string // SOURCE:TARGET[:OPTIONS], as -v says it
	ContainerIDFile string
	LogConfig       LogConfig
	NetworkMode     string
	PortBindings    nat.PortMap
	AutoRemove      bool
	VolumeDriver    string
	VolumesFrom     []string
	CapAdd          []string
	CapDrop         []string
	DNS             []string `json:"Dns"`
	DNSOptions      []string `json:"DnsOptions"`
	DNSSearch       []string `json:"DnsSearch"`
	ExtraHosts      []string
	GroupAdd        []string
	IpcMode         string
	Cgroup          string
	Links           []string
	OomScoreAdj     int
	PidMode         string
	Privileged      bool
	PublishAllPorts bool
	ReadonlyRootfs  bool
	SecurityOpt     []string
	StorageOpt      map[string]string `json:",omitempty"`
	Tmpfs           map[string]string `json:",omitempty"` // options by target
	UTSMode         string
	UsernsMode      string
	ShmSize         int64             // bytes
	Sysctls         map[string]string `json:",omitempty"`
	Runtime         string
	ConsoleSize     [2]uint
	Isolation       string
	Ulimits         []Ulimit
	Mounts          []MountSpec `json:",omitempty"` // as --mount says it
	MaskedPaths     []string
	ReadonlyPaths   []string
	Init            *bool `json:",omitempty"`
	HostLimits
}

// LogConfig is how a container's output is kept.
type LogConfig struct {
	Type   string
	Config map[string]string
}

// Ulimit is a limit of a container's processes.
type Ulimit struct {
	Name       string
	Hard, Soft int64
}

// defaultShmSize is Docker's, in bytes.
const defaultShmSize = 64 << 20

// hostConfig is how the container was asked to meet its host.
func (c *Container) hostConfig() HostConfig {
	o := c.Options
	h := HostConfig{
		LogConfig: LogConfig{Type: "json-file", Config: map[string]string{}}, NetworkMode: o.Network, PortBindings: o.portBindings(), PublishAllPorts: o.PublishAll,
		AutoRemove: c.AutoRemove, VolumesFrom: o.VolumesFrom, CapAdd: o.CapAdd, CapDrop: o.CapDrop,
		DNS: filled(o.DNS), DNSOptions: filled(o.DNSOptions), DNSSearch: filled(o.DNSSearch), ExtraHosts: o.ExtraHosts,
		GroupAdd: o.GroupAdd, IpcMode: "private", Privileged: o.Privileged, ReadonlyRootfs: c.ReadOnly || o.ReadOnly, SecurityOpt: o.securityOpt(),
		ShmSize: o.ShmSize, Sysctls: o.Sysctls, Runtime: "cfs", ContainerIDFile: c.CIDFile,
	}
	if h.ShmSize == 0 {
		h.ShmSize = defaultShmSize
	}
	if c.MaxSize > 0 {
		h.StorageOpt = map[string]string{"size": strconv.FormatInt(c.MaxSize, 10)}
	}
	if o.OOMScoreAdj != nil {
		h.OomScoreAdj = *o.OOMScoreAdj
	}
	if o.InitSet {
		h.Init = &o.Init
	}
	if o.Log.None {
		h.LogConfig.Type = "none"
	}
	if o.Log.MaxSize > 0 {
		h.LogConfig.Config["max-size"] = strconv.FormatInt(o.Log.MaxSize, 10)
	}
	if o.Log.MaxFiles > 0 {
		h.LogConfig.Config["max-file"] = strconv.Itoa(o.Log.MaxFiles)
	}
	if !o.Privileged {
		d := runtime.DefaultSpec(runtime.SpecOptions{})
		h.MaskedPaths, h.ReadonlyPaths = d.Linux.MaskedPaths, d.Linux.ReadonlyPaths
	}
	for _, u := range o.Ulimits {
		if l, err := parseUlimit(u); err == nil {
			h.Ulimits = append(h.Ulimits, Ulimit{strings.ToLower(strings.TrimPrefix(l.Type, "RLIMIT_")), int64(l.Hard), int64(l.Soft)})
		}
	}
	if c.MountedAt == "" {
		h.HostLimits = o.hostLimits()
	}
	h.Binds, h.Tmpfs, h.Mounts = o.asked()
	return h
}

// filled is a list that is not null.
func filled(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// securityOpt is what --security-opt says.
func (o ContainerOptions) securityOpt() (out []string) {
	if o.Privileges {
		out = append(out, "no-new-privileges=false")
	}
	if o.Seccomp != "" {
		out = append(out, "seccomp="+o.Seccomp)
	}
	return out
}
