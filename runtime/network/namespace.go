package network

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/lostthread"
)

// inside runs f on a thread that is in a network namespace: sockets and devices that f
// makes belong there, also once it is over.
func inside(ns *os.File, f func() error) error {
	return lostthread.Do(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the container's network namespace: %w", err)
		}
		return f()
	})
}

// handleIn is for asking and changing what a network namespace has. It is made on a thread
// that doesn't come back: the library's own takes one there and back, and the namespace of
// the host can't be entered again by who is root in a user namespace only (setns(2)).
func handleIn(ns *os.File) (h *netlink.Handle, err error) {
	err = inside(ns, func() error {
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	return h, err
}

// interfaceIn is the container's interface, and what it is changed by, which the caller closes.
func interfaceIn(ns *os.File) (*netlink.Handle, netlink.Link, error) {
	h, err := handleIn(ns)
	if err != nil {
		return nil, nil, err
	}
	link, err := h.LinkByName(containerLink)
	if err != nil {
		h.Close()
		return nil, nil, err
	}
	return h, link, nil
}

// configureLink gives the container's interface its addresses, sends everything by it, and
// bounds its packets by mtu, unless that is 0. Where the namespace has no IPv6, neither has
// the attachment then.
func (a *Attachment) configureLink(mtu int) error {
	h, link, err := interfaceIn(a.ns)
	if err != nil {
		return err
	}
	defer h.Close()
	if mtu > 0 {
		if err := h.LinkSetMTU(link, mtu); err != nil {
			return err
		}
	}
	if err := h.AddrAdd(link, &netlink.Addr{IPNet: ipNet(a.Address)}); err != nil {
		return fmt.Errorf("set the container's address: %w", err)
	}
	a.setSix(h, link)
	if err := h.LinkSetUp(link); err != nil {
		return err
	}
	for _, gateway := range []netip.Addr{a.Gateway, a.Gateway6} {
		if !gateway.IsValid() {
			continue
		}
		if err := h.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway.AsSlice()}); err != nil {
			return fmt.Errorf("set the container's default route: %w", err)
		}
	}
	return nil
}

// setSix gives the container's interface its address of IPv6, if it has one, and can have it.
func (a *Attachment) setSix(h *netlink.Handle, link netlink.Link) {
	if a.Address6.IsValid() && h.AddrAdd(link, sixAddr(a.Address6.Addr())) != nil { // net.ipv6.conf.default.disable_ipv6
		a.noSix()
	}
}

func (a *Attachment) noSix() {
	a.Address6, a.Gateway6, a.reaches6 = netip.Prefix{}, netip.Addr{}, false
}

// addSix gives an interface, which a program has made and set up, IPv6 as well.
func (a *Attachment) addSix() error {
	if !a.Address6.IsValid() {
		return nil
	}
	h, link, err := interfaceIn(a.ns)
	if err != nil {
		return err
	}
	defer h.Close()
	if a.setSix(h, link); !a.Address6.IsValid() {
		return nil
	}
	if err := h.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: a.Gateway6.AsSlice()}); err != nil {
		return fmt.Errorf("set the container's default route of IPv6: %w", err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
