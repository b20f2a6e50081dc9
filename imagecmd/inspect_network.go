package imagecmd

import (
	"fmt"

	"github.com/docker/go-connections/nat"

	"github.com/cfs-project/cfs/runtime"
)

// NetworkSettings is where a container is on a network.
type NetworkSettings struct {
	Bridge                 string
	SandboxID              string
	HairpinMode            bool
	LinkLocalIPv6Address   string
	LinkLocalIPv6PrefixLen int
	Ports                  nat.PortMap // exposed ones, with where they are published
	SandboxKey             string
	SecondaryIPAddresses   []string
	SecondaryIPv6Addresses []string
	EndpointSettings
	Networks map[string]*NetworkEndpoint
}

// EndpointSettings are a container's addresses on a network.
type EndpointSettings struct {
	EndpointID          string
	Gateway             string
	GlobalIPv6Address   string
	GlobalIPv6PrefixLen int
	IPAddress           string
	IPPrefixLen         int
	IPv6Gateway         string
	MacAddress          string
}

// NetworkEndpoint is a container on one network.
type NetworkEndpoint struct {
	IPAMConfig          *struct{}
	Links               []string
	Aliases             []string
	NetworkID           string
	EndpointID          string
	Gateway             string
	IPAddress           string
	IPPrefixLen         int
	IPv6Gateway         string
	GlobalIPv6Address   string
	GlobalIPv6PrefixLen int
	MacAddress          string
	DriverOpts          map[string]string
}

// networkSettings is where the container is on a network: while it runs, as its monitor has said.
func (c *Container) networkSettings(running bool) NetworkSettings {
	o := c.Options
	s := NetworkSettings{Ports: nat.PortMap{}, Networks: map[string]*NetworkEndpoint{}}
	end := NetworkEndpoint{}
	if running {
		l := c.readLive()
		if l.Init > 0 {
			s.SandboxKey = fmt.Sprintf("/proc/%d/ns/net", l.Init)
		}
		if n := l.Network; n != nil {
			end.Gateway, end.IPAddress, end.IPPrefixLen, end.MacAddress = n.Gateway.String(), n.Address.Addr().String(), n.Address.Bits(), n.MAC
			if n.Address6.IsValid() {
				end.IPv6Gateway, end.GlobalIPv6Address, end.GlobalIPv6PrefixLen = n.Gateway6.String(), n.Address6.Addr().String(), n.Address6.Bits()
			}
			s.IPv6Gateway, s.GlobalIPv6Address, s.GlobalIPv6PrefixLen = end.IPv6Gateway, end.GlobalIPv6Address, end.GlobalIPv6PrefixLen
			s.Gateway, s.IPAddress, s.IPPrefixLen, s.MacAddress = end.Gateway, end.IPAddress, end.IPPrefixLen, end.MacAddress
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
		s.Networks[NetworkBridge] = &end
	case o.Network == string(runtime.NetworkNone), o.Network == string(runtime.NetworkHost):
		s.Networks[o.Network] = &end
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
