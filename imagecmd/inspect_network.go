package imagecmd

// NetworkSettings is where a container is on a network.
type NetworkSettings struct {
	Bridge                 string
	SandboxID              string
	HairpinMode            bool
	LinkLocalIPv6Address   string
	LinkLocalIPv6PrefixLen int
	Ports                  map[string][]PortBinding
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

// networkSettings is where the container is on a network: on the host's, or on none.
func (c *Container) networkSettings() NetworkSettings {
	n := NetworkSettings{Ports: map[string][]PortBinding{}, Networks: map[string]*NetworkEndpoint{}}
	if c.Options.Network != "" {
		n.Networks[c.Options.Network] = &NetworkEndpoint{}
	}
	return n
}
