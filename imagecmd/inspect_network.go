package imagecmd

import (
	"fmt"

	"github.com/docker/go-connections/nat"

	"github.com/cfs-project/cfs/runtime"
)

// NetworkSettings is a container's network while it runs; empty if it doesn't.
type NetworkSettings struct {
	SandboxKey string      // a file of its network namespace
	Ports      nat.PortMap // exposed ports, with where they are published
	EndpointSettings
	Networks map[string]EndpointSettings
}

// EndpointSettings is a container's place in one network.
type EndpointSettings struct {
	Gateway     string
	IPAddress   string
	IPPrefixLen int
	MacAddress  string
}

// networkSettings is what a monitor has said of the container's network.
func (c *Container) networkSettings(running bool) *NetworkSettings {
	o := c.Options
	s := &NetworkSettings{Ports: nat.PortMap{}, Networks: map[string]EndpointSettings{}}
	if running {
		l := c.readLive()
		if l.Init > 0 {
			s.SandboxKey = fmt.Sprintf("/proc/%d/ns/net", l.Init)
		}
		if n := l.Network; n != nil {
			s.EndpointSettings = EndpointSettings{
				Gateway: n.Gateway.String(), IPAddress: n.Address.Addr().String(), IPPrefixLen: n.Address.Bits(), MacAddress: n.MAC,
			}
			for _, e := range o.Expose {
				s.Ports[nat.Port(e)] = nil
			}
			for _, b := range sortedPorts(n.Ports) {
				s.Ports[containerPort(b)] = append(s.Ports[containerPort(b)], hostBinding(b))
			}
		}
	}
	switch {
	case connected(o.Network):
		s.Networks[NetworkBridge] = s.EndpointSettings
	case o.Network == string(runtime.NetworkNone), o.Network == string(runtime.NetworkHost):
		s.Networks[o.Network] = EndpointSettings{}
	}
	return s
}

// portBindings are the ports that were asked to be published.
func (o ContainerOptions) portBindings() nat.PortMap {
	m := nat.PortMap{}
	for _, p := range o.Publish {
		m[p.Port] = append(m[p.Port], p.Binding)
	}
	return m
}

// exposedPorts are those that the image or a person says there are.
func (o ContainerOptions) exposedPorts() nat.PortSet {
	s := nat.PortSet{}
	for _, e := range o.Expose {
		s[nat.Port(e)] = struct{}{}
	}
	for _, p := range o.Publish {
		s[p.Port] = struct{}{}
	}
	return s
}
