package imagecmd

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/docker/go-connections/nat"

	"github.com/cfs-project/cfs/runtime/network"
)

// Port prints which ports of the host a running container's are, one a line as
// "80/tcp -> 0.0.0.0:8080", or for one port of it, as 80 or 80/udp, the host's alone.
func Port(root, name, private string, out io.Writer) error {
	c, err := OpenContainers(root).Find(name)
	if err != nil {
		return err
	}
	bound := c.bound()
	if private == "" {
		for _, b := range sortedPorts(bound) {
			fmt.Fprintf(out, "%s -> %s\n", containerPort(b), hostAddress(b))
		}
		return nil
	}
	proto, number := nat.SplitProtoPort(private)
	port, err := nat.NewPort(proto, number)
	if err != nil {
		return err
	}
	found := false
	for _, b := range bound {
		if containerPort(b) == port {
			fmt.Fprintln(out, hostAddress(b))
			found = true
		}
	}
	if !found {
		return fmt.Errorf("no public port '%s' published for %s", port, name)
	}
	return nil
}

// bound are the container's published ports; none if it doesn't run.
func (c *Container) bound() []network.Bound {
	if !connected(c.Options.Network) || !c.Running() {
		return nil
	}
	if l := c.readLive().Network; l != nil {
		return l.Ports
	}
	return nil
}

func containerPort(b network.Bound) nat.Port {
	return nat.Port(fmt.Sprintf("%d/%s", b.Container, b.Protocol))
}

func hostAddress(b network.Bound) string { return netip.AddrPortFrom(b.HostIP, b.Host).String() }

// sortedPorts has them by number, protocol and address, IPv4 first.
func sortedPorts(list []network.Bound) []network.Bound {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b network.Bound) int {
		if a.Container != b.Container {
			return int(a.Container) - int(b.Container)
		}
		if c := strings.Compare(a.Protocol, b.Protocol); c != 0 {
			return c
		}
		return a.HostIP.Compare(b.HostIP)
	})
	return list
}

// describePorts is a container's PORTS as Docker's ps has them: what is published, where,
// and what only is exposed. Consecutive ports of one kind are a range.
func describePorts(bound []network.Bound, exposed []string) string {
	type run struct {
		ip          netip.Addr // not valid: exposed only
		proto       string
		host        uint16 // of the first
		first, last uint16 // in the container
	}
	var runs []run
	add := func(r run) {
		// Addresses take turns, so that the run to go on with may be some way back.
		for i := len(runs) - 1; i >= 0; i-- {
			last := &runs[i]
			if last.ip == r.ip && last.proto == r.proto && last.last+1 == r.first && (!r.ip.IsValid() || last.host+(r.first-last.first) == r.host) {
				last.last = r.last
				return
			}
		}
		runs = append(runs, r)
	}
	published := map[nat.Port]bool{}
	for _, b := range sortedPorts(bound) {
		published[containerPort(b)] = true
	}
	for _, e := range exposed {
		if p := nat.Port(e); !published[p] {
			add(run{proto: p.Proto(), first: uint16(p.Int()), last: uint16(p.Int())})
		}
	}
	for _, b := range sortedPorts(bound) {
		add(run{ip: b.HostIP, proto: b.Protocol, host: b.Host, first: b.Container, last: b.Container})
	}
	span := func(first, n uint16) string {
		if n == 0 {
			return fmt.Sprint(first)
		}
		return fmt.Sprintf("%d-%d", first, first+n)
	}
	var out []string
	for _, r := range runs {
		s := span(r.first, r.last-r.first) + "/" + r.proto
		if r.ip.IsValid() {
			s = net.JoinHostPort(r.ip.String(), span(r.host, r.last-r.first)) + "->" + s
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}
