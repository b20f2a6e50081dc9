package imagecmd

import (
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
func (n *connection) hosts(hostname string) string {
	o := n.c.Options
	hosts, address := ownHosts, "127.0.1.1"
	if o.Network == string(runtime.NetworkHost) {
		if b, err := os.ReadFile("/etc/hosts"); err == nil {
			hosts = strings.TrimRight(string(b), "\n") + "\n"
		}
	}
	if n.attachment != nil {
		address = n.attachment.Address.Addr().String()
	}
	if !strings.Contains(hosts, "\t"+hostname+"\n") && !strings.Contains(hosts, " "+hostname+"\n") {
		names := hostname
		if o.Domainname != "" {
			names = hostname + "." + o.Domainname + " " + hostname
		}
		hosts += address + "\t" + names + "\n"
	}
	for _, extra := range o.ExtraHosts {
		name, address, _ := strings.Cut(extra, ":")
		hosts += address + "\t" + name + "\n"
	}
	return hosts
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
