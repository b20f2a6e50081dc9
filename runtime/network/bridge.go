package network

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/hint"
)

// bridgeName is the interface that all containers of a host are connected with.
const bridgeName = "cfs0"

// containerLink is the interface in the container.
const containerLink = "eth0"

// Bridge connects a namespace with the host's bridge, which is made if there is none
// yet. It needs CAP_NET_ADMIN over the caller's network namespace; without it, or where
// the kernel has no bridge, veth or NAT, the error wraps [ErrUnavailable].
func Bridge(o Options) (*Attachment, error) {
	if !mayHaveBridge() {
		return nil, fmt.Errorf("%w: a bridge needs CAP_NET_ADMIN", ErrUnavailable)
	}
	bridge, net, err := ensureBridge()
	if err != nil {
		return nil, bridgeError(err)
	}
	if err := masquerade(net.Prefix); err != nil {
		return nil, bridgeError(err)
	}
	families := []nftables.TableFamily{nftables.TableFamilyIPv4}
	six, err := ensureSix(bridge)
	if err == nil {
		families = append(families, nftables.TableFamilyIPv6)
	} else {
		o.log().Debug("no IPv6 for containers", "error", err)
	}
	link, number, err := addLink(o, bridge, net)
	if err != nil {
		return nil, bridgeError(err)
	}
	a := &Attachment{
		Driver: "bridge", Address: netip.PrefixFrom(net.address(number), net.Bits()), Gateway: net.address(1),
		MAC: hardwareAddr(net.address(number)), ns: o.Namespace, host: true,
		ends: []func() error{func() error { return removeLink(link) }},
	}
	if six.IsValid() {
		a.Address6, a.Gateway6 = netip.PrefixFrom(sixAddress(six, number), six.Bits()), sixAddress(six, 1)
	}
	if err := a.configureLink(0); err != nil {
		return nil, errors.Join(bridgeError(err), a.Close())
	}
	a.reaches6 = a.Address6.IsValid() && forwardSix()
	a.Warning = strings.Join(slices.DeleteFunc([]string{forwardingWarning(), passFirewall(families...)}, func(s string) bool { return s == "" }), "; ")
	return a, nil
}

// mayHaveBridge tells whether this process may change the network that it is in: it has
// CAP_NET_ADMIN, and in the user namespace that the network belongs to (ioctl_nsfs(2)).
func mayHaveBridge() bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil || data[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		return false
	}
	ns, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return false
	}
	defer ns.Close()
	fd, err := unix.IoctlRetInt(int(ns.Fd()), unix.NS_GET_USERNS)
	if err != nil { // it is not below ours
		return false
	}
	defer unix.Close(fd)
	var owner, ours unix.Stat_t
	return unix.Fstat(fd, &owner) == nil && unix.Stat("/proc/self/ns/user", &ours) == nil && owner.Ino == ours.Ino
}

// bridgeError says that it is the host which doesn't let us.
func bridgeError(err error) error {
	err = fmt.Errorf("bridge %s: %w", bridgeName, err)
	for _, e := range []error{unix.EPERM, unix.EACCES, unix.EOPNOTSUPP, unix.ENOENT, unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT, unix.EROFS} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	return err
}

// ensureBridge is the host's bridge and its network.
func ensureBridge() (netlink.Link, subnet, error) {
	link, err := netlink.LinkByName(bridgeName)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		link, err = makeBridge()
	}
	if err != nil {
		return nil, subnet{}, err
	}
	addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return nil, subnet{}, err
	}
	if len(addrs) == 0 {
		return nil, subnet{}, hint.With(fmt.Errorf("the interface %s has no address", bridgeName), "ip link del "+bridgeName+", and it is made anew")
	}
	p, _ := prefixOf(addrs[0].IPNet)
	if p.Bits() > 29 || p.Bits() < 12 {
		return nil, subnet{}, fmt.Errorf("the network %s of interface %s has not between 8 and a million addresses", p, bridgeName)
	}
	if link.Attrs().Flags&net.FlagUp == 0 {
		err = netlink.LinkSetUp(link)
	}
	return link, subnet{p}, err
}

// makeBridge makes the bridge under another name and gives it its own when it has an
// address. If somebody else was faster, theirs it is.
func makeBridge() (netlink.Link, error) {
	taken, err := takenNetworks()
	if err != nil {
		return nil, err
	}
	network, err := freeSubnet(taken)
	if err != nil {
		return nil, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = fmt.Sprintf("%s-%08x", linkPrefix, rand.Uint32()) // process ids are those of many namespaces
	attrs.HardwareAddr = hardwareAddr(network.address(1))          // else the lowest of its ports', which come and go
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	if err := netlink.LinkAdd(bridge); err != nil {
		return nil, fmt.Errorf("make: %w", err)
	}
	err = netlink.AddrAdd(bridge, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(network.address(1), network.Bits()))})
	if mtu := outsideMTU(); err == nil && mtu > 0 {
		err = netlink.LinkSetMTU(bridge, mtu) // else it would follow its ports'
	}
	if err == nil {
		err = netlink.LinkSetName(bridge, bridgeName)
	}
	if err != nil {
		err = errors.Join(err, netlink.LinkDel(bridge))
		if !errors.Is(err, unix.EEXIST) {
			return nil, err
		}
	}
	return netlink.LinkByName(bridgeName)
}

// takenNetworks are those that the host has routes to or addresses in, and its name
// servers.
func takenNetworks() (all []netip.Prefix, err error) {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, err
	}
	for _, r := range routes {
		if p, ok := prefixOf(r.Dst); ok {
			all = append(all, p)
		}
	}
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if p, ok := prefixOf(a.IPNet); ok {
			all = append(all, p.Masked())
		}
	}
	for _, s := range hostNameservers() {
		all = append(all, netip.PrefixFrom(s, s.BitLen()))
	}
	return all, nil
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), ones), ok
}

// outsideMTU is the largest packet that the way out takes; 0 if there is none.
func outsideMTU() int {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
	if err != nil || len(routes) == 0 {
		return 0
	}
	link, err := netlink.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return 0
	}
	return link.Attrs().MTU
}

// addLink makes the pair of interfaces, with the first number that nobody has.
func addLink(o Options, bridge netlink.Link, network subnet) (netlink.Link, uint32, error) {
	for number := range network.numbers(o.ID) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MasterIndex, attrs.MTU = linkName(number), bridge.Attrs().Index, bridge.Attrs().MTU
		attrs.Flags = net.FlagUp
		veth := netlink.NewVeth(attrs)
		veth.PeerName, veth.PeerNamespace = containerLink, netlink.NsFd(int(o.Namespace.Fd()))
		veth.PeerHardwareAddr, veth.PeerMTU = hardwareAddr(network.address(number)), uint32(attrs.MTU)
		err := netlink.LinkAdd(veth)
		if errors.Is(err, unix.EEXIST) {
			continue
		}
		if err != nil {
			if veth.Index != 0 { // it is there, but not on the bridge
				err = errors.Join(err, removeLink(veth))
			}
			return nil, 0, fmt.Errorf("connect the container: %w", err)
		}
		return veth, number, nil
	}
	return nil, 0, ErrNoAddress
}

// removeLink takes the pair of interfaces away, unless the namespace has taken it along.
func removeLink(link netlink.Link) error {
	err := netlink.LinkDel(link)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

// forwardingWarning switches the forwarding of packets on, or says that this can't be done.
func forwardingWarning() string {
	const forward = "/proc/sys/net/ipv4/ip_forward"
	b, err := os.ReadFile(forward)
	if n, _ := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && n != 0 {
		return ""
	}
	if err == nil {
		err = os.WriteFile(forward, []byte("1\n"), 0)
	}
	if err != nil {
		return "IPv4 forwarding is disabled. Networking will not work. (sysctl net.ipv4.ip_forward=1: " + err.Error() + ")"
	}
	return ""
}
