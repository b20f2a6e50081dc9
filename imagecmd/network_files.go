package imagecmd

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/network"
)

// ownHosts are the lines of hosts(5) that every container has, as Docker writes them.
const ownHosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" +
	"fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"

// hosts is hosts(5) for the container: on the host's network the host's, elsewhere its
// own, with its address and name.
func (n *connection) hosts(hostname string) (string, error) {
	o := n.c.Options
	hosts, addresses := ownHosts, []string{"127.0.1.1"}
	if o.Network == string(runtime.NetworkHost) {
		if b, err := os.ReadFile("/etc/hosts"); err == nil {
			hosts = strings.TrimRight(string(b), "\n") + "\n"
		}
	}
	if n.attachment != nil {
		addresses[0] = n.attachment.Address.Addr().String()
		if six := n.attachment.Address6; six.IsValid() {
			addresses = append(addresses, six.Addr().String())
		}
	}
	if !strings.Contains(hosts, "\t"+hostname+"\n") && !strings.Contains(hosts, " "+hostname+"\n") {
		names := hostname
		if o.Domainname != "" {
			names = hostname + "." + o.Domainname + " " + hostname
		}
		for _, address := range addresses {
			hosts += address + "\t" + names + "\n"
		}
	}
	for _, extra := range o.ExtraHosts {
		name, address, _ := strings.Cut(extra, ":")
		if address == hostGateway {
			host, err := n.hostAddress()
			if err != nil {
				return "", err
			}
			address = host.String()
		}
		hosts += address + "\t" + name + "\n"
	}
	return hosts, nil
}

// hostAddress is one by which the container reaches the host.
func (n *connection) hostAddress() (a netip.Addr, err error) {
	switch {
	case n.attachment != nil:
		a, err = n.attachment.HostAddress()
	case n.c.Options.Network == string(runtime.NetworkHost):
		a = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	default:
		err = errors.New("the container has no network")
	}
	if err != nil {
		err = fmt.Errorf("unable to derive the IP value for %s: %w", hostGateway, err) // Docker's words
	}
	return a, err
}

// resolvConf is resolv.conf(5) for the container: nothing where nothing is reached.
func (n *connection) resolvConf() string {
	o, resolv := n.c.Options, ""
	switch {
	case n.attachment != nil:
		resolv = n.attachment.ResolvConf(network.HostResolvConf())
	case o.Network == string(runtime.NetworkHost):
		if b, err := os.ReadFile("/etc/resolv.conf"); err == nil {
			resolv = string(b)
		}
	}
	return askedResolvConf(resolv, o)
}

// askedResolvConf is resolv.conf(5) with what a person wants of it in the place of the host's.
func askedResolvConf(host string, o ContainerOptions) string {
	if len(o.DNS)+len(o.DNSSearch)+len(o.DNSOptions) == 0 {
		return host
	}
	var b strings.Builder
	for line := range strings.Lines(host) {
		key, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case key == "nameserver" && len(o.DNS) > 0,
			(key == "search" || key == "domain") && len(o.DNSSearch) > 0,
			key == "options" && len(o.DNSOptions) > 0:
			continue
		}
		b.WriteString(strings.TrimRight(line, "\n") + "\n")
	}
	for _, a := range o.DNS {
		b.WriteString("nameserver " + a + "\n")
	}
	if search := slices.DeleteFunc(slices.Clone(o.DNSSearch), func(s string) bool { return s == "." }); len(search) > 0 {
		b.WriteString("search " + strings.Join(search, " ") + "\n")
	}
	if len(o.DNSOptions) > 0 {
		b.WriteString("options " + strings.Join(o.DNSOptions, " ") + "\n")
	}
	return b.String()
}
