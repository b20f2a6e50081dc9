package auth

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// guarded are addresses that a registry elsewhere has no business to send anybody to:
// this machine, its link, and where clouds tell a machine its secrets.
var guarded = []string{
	"127.0.0.0/8", "::1/128", "0.0.0.0/8", "::/128",
	"169.254.0.0/16", "fe80::/10", "224.0.0.0/24", "ff02::/16",
	"100.100.100.200/32", "fd00:ec2::254/128", "fd00:ec2::23/128", "fd20:ce::254/128", "168.63.129.16/32",
}

// checkRealm refuses a token server that a registry at an address may not name, or not
// redirect to. Its own host it may; and one that can't be looked up, as behind a proxy one
// need not be able to. What a name becomes after it was looked up here is not known.
func (c *Client) checkRealm(ctx context.Context, realm, registry *url.URL) error {
	switch realm.Scheme {
	case "https":
	case "http":
		if registry.Scheme == "https" {
			return fmt.Errorf("bearer realm %q uses http but registry was contacted over https", realm.Redacted())
		}
	default:
		return fmt.Errorf("bearer realm %q uses unsupported scheme %q", realm.Redacted(), realm.Scheme)
	}
	host := realm.Hostname()
	if strings.EqualFold(host, registry.Hostname()) || c.AnyRealm {
		return nil
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if isGuarded(addr) {
			return fmt.Errorf("bearer realm host %q is not for others to name", host)
		}
		return nil
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil
	}
	for _, addr := range addrs {
		if isGuarded(addr) {
			return fmt.Errorf("bearer realm host %q is %s, which is not for others to name", host, addr)
		}
	}
	return nil
}

// isGuarded tells whether an address, or the IPv4 address in it, is one of guarded.
func isGuarded(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	inner := embedded(addr)
	for _, s := range guarded {
		if p := netip.MustParsePrefix(s); p.Contains(addr) || p.Contains(inner) {
			return true
		}
	}
	return false
}

// embedded is the IPv4 address that an IPv6 address leads to: by NAT64 (RFC 6052) or
// 6to4 (RFC 3056); another stays itself.
func embedded(addr netip.Addr) netip.Addr {
	if !addr.Is6() {
		return addr
	}
	b := addr.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(addr):
		return netip.AddrFrom4([4]byte(b[12:]))
	case b[0] == 0x20 && b[1] == 0x02:
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return addr
}
