package network

import (
	"net/netip"
	"os"
	"strings"
)

// Where the host says who resolves names.
const (
	hostResolv = "/etc/resolv.conf"
	// systemdResolv has the servers that systemd-resolved asks, where resolv.conf has
	// itself only.
	systemdResolv = "/run/systemd/resolve/resolv.conf"
)

// publicNameservers are asked where the host has none that a container reaches, as
// Docker does.
var publicNameservers = []string{"nameserver 8.8.8.8", "nameserver 8.8.4.4"}

// HostResolvConf is the host's resolv.conf(5); empty if there is none.
func HostResolvConf() string {
	b, err := os.ReadFile(hostResolv)
	if err != nil {
		return ""
	}
	if s := nameservers(string(b)); len(s) == 1 && s[0] == netip.MustParseAddr("127.0.0.53") {
		if better, err := os.ReadFile(systemdResolv); err == nil {
			return string(better)
		}
	}
	return string(b)
}

// hostNameservers are the host's own.
func hostNameservers() []netip.Addr {
	b, _ := os.ReadFile(hostResolv) // without one there are none
	return nameservers(string(b))
}

func nameservers(resolv string) (all []netip.Addr) {
	for line := range strings.Lines(resolv) {
		if a, ok := nameserver(line); ok {
			all = append(all, a)
		}
	}
	return all
}

func nameserver(line string) (netip.Addr, bool) {
	f := strings.Fields(line)
	if len(f) < 2 || f[0] != "nameserver" {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(f[1])
	return a, err == nil
}

// ResolvConf makes the host's resolv.conf(5) one for the container: name servers on the
// host's loopback interface, and those of IPv6 where the container doesn't reach them, are
// replaced by the attachment's, or left out. If none is left it has public ones.
func (a *Attachment) ResolvConf(host string) string {
	var out []string
	servers, own := 0, false
	for line := range strings.Lines(host) {
		line = strings.TrimRight(line, "\n")
		s, ok := nameserver(line)
		switch {
		case !ok && strings.HasPrefix(strings.TrimSpace(line), "nameserver"):
			continue // of which nothing can be made
		case !ok:
		case !a.onlyNameserver && (s.Is4() || a.reaches6 && !s.IsLinkLocalUnicast()) && !s.IsLoopback() && !s.IsUnspecified():
			servers++
		case a.Nameserver.IsValid() && !own:
			line, own = "nameserver "+a.Nameserver.String(), true
			servers++
		default:
			continue
		}
		out = append(out, line)
	}
	if servers == 0 {
		out = append(out, publicNameservers...)
	}
	return strings.Join(out, "\n") + "\n"
}
