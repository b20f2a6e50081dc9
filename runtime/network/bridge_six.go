package network

import (
	"crypto/sha256"
	"errors"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// sixBits is the length of the prefix of the bridge's IPv6 network.
const sixBits = 64

// sixConf has the settings of IPv6, of "all" and of each interface.
const sixConf = "/proc/sys/net/ipv6/conf/"

// sixNetwork is the bridge's network of unique local addresses (RFC 4193), whose random part
// depends on the host alone: whoever needs it first gives the bridge the same.
func sixNetwork() netip.Prefix {
	id, _ := os.ReadFile("/etc/machine-id") // a host without has the network of others without
	sum := sha256.Sum256(append([]byte(bridgeName+"\n"), id...))
	var a [16]byte
	a[0] = 0xfd
	copy(a[1:6], sum[:])
	return netip.PrefixFrom(netip.AddrFrom16(a), sixBits)
}

// sixAddress is the one of a number in a network; the bridge's is 1, as of IPv4.
func sixAddress(network netip.Prefix, number uint32) netip.Addr {
	a := network.Masked().Addr().As16()
	for i := range 4 {
		a[15-i] = byte(number >> (8 * i))
	}
	return netip.AddrFrom16(a)
}

// ensureSix gives the bridge an IPv6 network, with which others are reached by the host's
// address. It fails where the host has no IPv6, or the kernel no NAT of it.
func ensureSix(bridge netlink.Link) (netip.Prefix, error) {
	network := sixNetwork()
	if b, err := os.ReadFile(sixConf + bridgeName + "/disable_ipv6"); err != nil || strings.TrimSpace(string(b)) != "0" {
		return netip.Prefix{}, errors.Join(errors.New("IPv6 is disabled"), err)
	}
	addrs, err := netlink.AddrList(bridge, netlink.FAMILY_V6)
	if err != nil {
		return netip.Prefix{}, err
	}
	there := false
	for _, a := range addrs {
		if p, ok := prefixOf(a.IPNet); ok && p.Addr().IsPrivate() && p.Bits() == sixBits && p.Addr() == sixAddress(p, 1) {
			network, there = p.Masked(), true // also another that somebody has chosen
		}
	}
	if err := masquerade(network); err != nil {
		return netip.Prefix{}, err
	}
	if there {
		return network, nil
	}
	if err := netlink.AddrAdd(bridge, sixAddr(sixAddress(network, 1))); err != nil && !errors.Is(err, unix.EEXIST) {
		return netip.Prefix{}, err
	}
	return network, nil
}

// sixAddr is an address that nobody else can have, and which can be used at once.
func sixAddr(a netip.Addr) *netlink.Addr {
	return &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, sixBits)), Flags: unix.IFA_F_NODAD}
}

// forwardSix switches the forwarding of IPv6 on where the host has a way out, and tells
// whether there is one. A host that forwards heeds no router that announces itself
// (Documentation/networking/ip-sysctl.rst, accept_ra), unless it is told to: where it has
// its way out from one, it goes on.
func forwardSix() bool {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
	if err != nil || len(routes) == 0 {
		return false
	}
	b, err := os.ReadFile(sixConf + "all/forwarding")
	if err != nil {
		return false
	}
	if strings.TrimSpace(string(b)) != "0" {
		return true
	}
	for _, r := range routes {
		link, err := netlink.LinkByIndex(r.LinkIndex)
		if err != nil || r.Protocol != unix.RTPROT_RA {
			continue
		}
		file := sixConf + link.Attrs().Name + "/accept_ra"
		if b, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(b)) == "1" {
			if os.WriteFile(file, []byte("2\n"), 0) != nil {
				return false
			}
		}
	}
	return os.WriteFile(sixConf+"all/forwarding", []byte("1\n"), 0) == nil
}
