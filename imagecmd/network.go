package imagecmd

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/docker/go-connections/nat"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/network"
)

// A connection is a container's network while it runs, as its monitor has it.
type connection struct {
	c          *Container
	namespace  *os.File // the container's own, or the one that it joins
	joined     *Container
	ports      *network.Listening
	done       chan struct{}       // closed once the two below are there; nil where they won't be
	attachment *network.Attachment // nil where nothing reaches out
	err        error

	once   sync.Once
	closed error
}

// connect begins to give the container whose first process is pid its network, while
// other things are prepared. It fails at once where a port can't be had.
func (m *monitor) connect(pid int) (err error) {
	n := m.net
	if n.joined != nil || !connected(m.c.Options.Network) {
		return nil
	}
	if n.ports, err = network.Listen(m.c.wantedPorts()); err != nil {
		return m.c.publishError(err)
	}
	if n.namespace, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", pid)); err != nil {
		return err
	}
	n.done = make(chan struct{})
	go func() {
		defer close(n.done)
		n.attachment, n.err = network.Attach(m.l.Context(), network.Options{Namespace: n.namespace, ID: m.c.ID, Log: m.log})
	}()
	return nil
}

// ready waits for the network. Where there is none for a container that wasn't asked one
// for, it goes without, and a person is told so, unless he was told before.
func (n *connection) ready(told bool) error {
	if n.done == nil {
		return nil
	}
	<-n.done
	if n.err != nil {
		o := n.c.Options
		err := hint.With(n.err, networkHint(n.err))
		if !errors.Is(err, network.ErrUnavailable) || o.Network != NetworkDefault || len(o.Publish) > 0 || o.PublishAll {
			return fmt.Errorf("no network for the container: %w", err)
		}
		n.err = nil
		if told {
			return nil
		}
		printError(os.Stderr, fmt.Errorf("the container has no network: %w", err))
		return nil
	}
	if w := n.attachment.Warning; w != "" && !told {
		fmt.Fprintf(os.Stderr, "cfs: WARNING: %s\n", w)
	}
	n.attachment.Publish(n.ports)
	return nil
}

func networkHint(err error) string {
	text := "--network none or --network host needs nothing"
	if h := hint.Of(err); h != "" {
		text = h + "; " + text
	}
	return text
}

// close ends the network, once: the kernel takes its time, which begins when the container
// has ended, while the root is still being unmounted.
func (n *connection) close() error {
	n.once.Do(func() { n.closed = n.end() })
	return n.closed
}

func (n *connection) end() error {
	if n.done != nil {
		<-n.done
	}
	var err error
	if n.attachment != nil {
		err = n.attachment.Close()
	}
	if n.ports != nil {
		n.ports.Close()
	}
	if n.namespace != nil {
		n.namespace.Close()
	}
	return err
}

// join has a configuration be in the namespace of another container.
func (n *connection) join(s *specs.Spec) {
	if n.joined == nil {
		return
	}
	for i, ns := range s.Linux.Namespaces {
		if ns.Type == specs.NetworkNamespace {
			s.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/self/fd/%d", n.namespace.Fd())
		}
	}
	for name := range s.Linux.Sysctl { // those of the other one stay
		if strings.HasPrefix(name, "net.") && n.c.Options.Sysctls[name] == "" {
			delete(s.Linux.Sysctl, name)
		}
	}
}

// wantedPorts are the ports to be published: those that were asked for, and with -P all
// others that are exposed.
func (c *Container) wantedPorts() (all []network.Port) {
	seen := map[nat.Port]bool{}
	for _, p := range c.Options.Publish {
		seen[p.Port] = true
		first, last, _ := nat.ParsePortRangeToInt(p.Binding.HostPort)       // parsed once before
		ip, _ := netip.ParseAddr(p.Binding.HostIP)                          // not valid: all
		all = append(all, newPort(p.Port, ip, uint16(first), uint16(last))) // of 16 bits, both
	}
	if !c.Options.PublishAll {
		return all
	}
	for _, e := range c.Options.Expose {
		if p := nat.Port(e); !seen[p] {
			all = append(all, newPort(p, netip.Addr{}, 0, 0))
		}
	}
	return all
}

func newPort(p nat.Port, ip netip.Addr, first, last uint16) network.Port {
	return network.Port{Protocol: p.Proto(), Container: uint16(p.Int()), HostIP: ip, First: first, Last: last}
}

// publishError is Docker's sentence about a port that can't be had.
func (c *Container) publishError(err error) error {
	return hint.With(fmt.Errorf("driver failed programming external connectivity on endpoint %s (%s): %w", c.Label(), c.ID, err), hint.Of(err))
}

// A liveNetwork is what a running container's network has become.
type liveNetwork struct {
	Address  netip.Prefix    // of the container
	Gateway  netip.Addr      //
	Address6 netip.Prefix    `json:",omitzero"` // the same of IPv6
	Gateway6 netip.Addr      `json:",omitzero"`
	MAC      string          `json:",omitempty"`
	Driver   string          // what serves it
	Ports    []network.Bound `json:",omitempty"` // that are published
}

// live says how others find it; nil for a container without.
func (n *connection) live() *liveNetwork {
	a := n.attachment
	if a == nil {
		return nil
	}
	l := &liveNetwork{Address: a.Address, Gateway: a.Gateway, Address6: a.Address6, Gateway6: a.Gateway6, Driver: a.Driver, Ports: n.ports.Bound}
	if a.MAC != nil {
		l.MAC = a.MAC.String()
	}
	return l
}

// hostBinding is a port of the host as Docker writes it.
func hostBinding(b network.Bound) nat.PortBinding {
	return nat.PortBinding{HostIP: b.HostIP.String(), HostPort: strconv.Itoa(int(b.Host))}
}

// hostname is what the container is called: as asked for, or as the host on the
// host's network, or as who it shares one with, or by its ID, as Docker does.
func (c *Container) hostname(joined *Container) string {
	switch {
	case joined != nil:
		if b, err := os.ReadFile(joined.path("hostname")); err == nil {
			return strings.TrimSpace(string(b))
		}
	case c.Options.Hostname != "":
		return c.Options.Hostname
	case c.Options.Network == string(runtime.NetworkHost):
		if name, err := os.Hostname(); err == nil {
			return name
		}
	}
	return c.ShortID()
}

// kind says which namespace the runtime makes, or takes from another container.
func (n *connection) kind() runtime.Network {
	o := n.c.Options
	if n.joined != nil {
		o = n.joined.Options
	}
	if o.Network == string(runtime.NetworkHost) {
		return runtime.NetworkHost
	}
	return runtime.NetworkNone
}
