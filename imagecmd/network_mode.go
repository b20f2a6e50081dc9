package imagecmd

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/docker/go-connections/nat"

	"github.com/cfs-project/cfs/runtime"
)

// Networks of a container beside runtime.NetworkNone and runtime.NetworkHost.
const (
	// NetworkDefault is the bridge, or a user-mode network; a container that nobody
	// asked a network for starts without where neither can be had.
	NetworkDefault = "default"
	// NetworkBridge is the same, asked for.
	NetworkBridge = "bridge"
	// networkContainer and a name or ID is the network of another container.
	networkContainer = "container:"
)

// connected tells whether a network reaches out.
func connected(network string) bool {
	return network == NetworkDefault || network == NetworkBridge
}

// ParseNetwork reads Docker's --network.
func ParseNetwork(s string) (string, error) {
	if name, ok := strings.CutPrefix(s, networkContainer); ok {
		if name == "" {
			return "", errors.New("invalid container format container:<name|id>")
		}
		return s, nil
	}
	switch s {
	case "", NetworkDefault:
		return NetworkDefault, nil
	case NetworkBridge, string(runtime.NetworkNone), string(runtime.NetworkHost):
		return s, nil
	}
	return "", fmt.Errorf("network %s not found", s)
}

// A PublishedPort is one that -p asks for, in the form in which Docker shows it.
type PublishedPort = nat.PortMapping

// ParsePublish reads Docker's -p: [[IP:][HOSTPORT]:]CONTAINERPORT[/PROTOCOL], where both
// ports may be ranges, or name=value pairs with published, target and protocol.
func ParsePublish(list []string) ([]PublishedPort, error) {
	var all []PublishedPort
	for _, s := range list {
		if s == "" {
			return nil, errors.New("no port specified: ''")
		}
		spec, err := shortPublish(s)
		if err != nil {
			return nil, err
		}
		ports, err := nat.ParsePortSpec(spec)
		if err != nil {
			return nil, err
		}
		for _, p := range ports {
			if err := checkPort(p.Port); err != nil {
				return nil, err
			}
			if !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	return all, nil
}

// shortPublish turns the form of pairs into the other one.
func shortPublish(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("invalid publish format %q", s)
	}
	if !strings.Contains(s, "=") {
		return s, nil
	}
	pairs := map[string]string{"protocol": "tcp"}
	for param := range strings.SplitSeq(s, ",") {
		key, value, ok := strings.Cut(param, "=")
		if !ok || key == "" {
			return "", fmt.Errorf("invalid publish opts format (should be name=value but got '%s')", param)
		}
		switch key {
		case "published", "target", "protocol":
			pairs[key] = value
		case "mode":
			if value != "host" {
				return "", fmt.Errorf("publish mode %q is for swarm services", value)
			}
		default:
			return "", fmt.Errorf("invalid publish option %q: there are published, target and protocol", key)
		}
	}
	return fmt.Sprintf("%s:%s/%s", pairs["published"], pairs["target"], pairs["protocol"]), nil
}

// ParseExpose reads Docker's --expose: PORT[/PROTOCOL], where PORT may be a range.
func ParseExpose(list []string) ([]string, error) {
	var all []string
	for _, s := range list {
		if s == "" || strings.Contains(s, ":") {
			return nil, fmt.Errorf("invalid port format for --expose: '%s'", s)
		}
		ports, err := nat.ParsePortSpec(s)
		if err != nil {
			return nil, fmt.Errorf("invalid range format for --expose: %s, error: %w", s, err)
		}
		for _, p := range ports {
			if err := checkPort(p.Port); err != nil {
				return nil, err
			}
			if !slices.Contains(all, string(p.Port)) {
				all = append(all, string(p.Port))
			}
		}
	}
	return all, nil
}

// exposedPorts are those that an image and a person say there are, each once and in order.
// What an image says that can't be published here is left out.
func exposedPorts(image map[string]struct{}, asked []string) []string {
	all := slices.Clone(asked)
	for e := range image {
		if ports, err := ParseExpose([]string{e}); err == nil {
			all = append(all, ports...)
		}
	}
	slices.SortFunc(all, func(a, b string) int {
		return cmp.Or(nat.Port(a).Int()-nat.Port(b).Int(), strings.Compare(a, b))
	})
	return slices.Compact(all)
}

// checkPort refuses what can't be published here.
func checkPort(p nat.Port) error {
	switch {
	case p.Proto() != "tcp" && p.Proto() != "udp":
		return fmt.Errorf("port %s: protocol %s is not supported: there are tcp and udp", p, p.Proto())
	case p.Int() == 0:
		return fmt.Errorf("invalid containerPort: %s", p.Port())
	}
	return nil
}

// checkNetwork refuses what doesn't go together, in Docker's words.
func (o ContainerOptions) checkNetwork() error {
	if !strings.HasPrefix(o.Network, networkContainer) {
		return nil
	}
	for _, c := range []struct {
		said bool
		what string
	}{
		{o.Hostname != "", "hostname and the network mode"},
		{len(o.DNS) > 0, "dns and the network mode"},
		{len(o.ExtraHosts) > 0, "custom host-to-IP mapping and the network mode"},
		{len(o.Publish) > 0 || o.PublishAll, "port publishing and the container type network mode"},
		{len(o.Expose) > 0, "port exposing and the container type network mode"},
	} {
		if c.said {
			return errors.New("conflicting options: " + c.what)
		}
	}
	return nil
}
