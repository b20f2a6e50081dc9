package network

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Devices are devices of the host that were moved into a container (runtime-spec,
// config-linux.md, "Network Devices").
type Devices struct {
	ns    *os.File // the container's network namespace
	moved []movedDevice
}

// A movedDevice is a device as it was on the host.
type movedDevice struct {
	name      string
	up        bool
	addresses []netlink.Addr
	inside    int // its index in the container; 0: the kernel was asked to move it, and failed
}

// MoveDevices moves devices of the caller's network namespace, by their names, into that of
// a path, where they have the names that are given or the same, and are up. What the driver
// keeps of a device stays, and so do its permanent addresses of global scope. If one can't be moved, all are
// moved back. No devices are nil, which can be restored and closed.
func MoveDevices(devices map[string]specs.LinuxNetDevice, path string) (*Devices, error) {
	if len(devices) == 0 {
		return nil, nil
	}
	ns, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("move network devices: %w", err)
	}
	d := &Devices{ns: ns}
	if err := d.move(devices); err != nil {
		if e := d.Restore(); e != nil {
			err = fmt.Errorf("%w; and %w", err, e)
		}
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *Devices) move(devices map[string]specs.LinuxNetDevice) error {
	if same, err := sameNamespace(d.ns); err != nil || same {
		return errors.Join(err, fmt.Errorf("move network devices: the container's network namespace is the host's"))
	}
	container, err := handleIn(d.ns)
	if err != nil {
		return fmt.Errorf("move network devices: %w", err)
	}
	defer container.Close()
	for _, name := range slices.Sorted(maps.Keys(devices)) {
		to := devices[name].Name
		if to == "" {
			to = name
		}
		if err := d.moveOne(container, name, to); err != nil {
			return fmt.Errorf("move network device %s: %w", name, err)
		}
	}
	return nil
}

func (d *Devices) moveOne(container *netlink.Handle, name, to string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	template := strings.Contains(to, "%d")
	if _, err := container.LinkByName(to); err == nil && !template {
		return fmt.Errorf("the container has a device %s: %w", to, unix.EEXIST)
	}
	// Before it is down, which takes IPv6's away.
	addresses, err := addressesOf(link)
	if err != nil {
		return err
	}
	d.moved = append(d.moved, movedDevice{name: name, up: link.Attrs().Flags&unix.IFF_UP != 0, addresses: addresses})
	// Nobody on the host is to use it, nor has it to be found, while its name changes.
	if err := netlink.LinkSetDown(link); err != nil {
		return fmt.Errorf("set it down: %w", err)
	}
	passing := to
	if template {
		// The kernel says nothing of the name that it made of one: under this one it is found.
		passing = fmt.Sprintf("cfs%d", link.Attrs().Index)
	}
	if err := passLink(link.Attrs().Index, int(d.ns.Fd()), passing); err != nil {
		return err
	}
	inside, err := container.LinkByName(passing)
	if err != nil {
		return err
	}
	d.moved[len(d.moved)-1].inside = inside.Attrs().Index
	if template {
		if err := container.LinkSetName(inside, to); err != nil {
			return fmt.Errorf("name it %s: %w", to, err)
		}
	}
	return raise(container, inside, permanent(addresses), true)
}

func addressesOf(link netlink.Link) ([]netlink.Addr, error) {
	all, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	for errors.Is(err, netlink.ErrDumpInterrupted) { // they changed meanwhile
		all, err = netlink.AddrList(link, netlink.FAMILY_ALL)
	}
	if err != nil {
		return nil, fmt.Errorf("list its addresses: %w", err)
	}
	return all, nil
}

// permanent are the addresses that a person gave a device, and that mean something outside
// one link (RFC 3549, 2.3.3.2).
func permanent(all []netlink.Addr) []netlink.Addr {
	return slices.DeleteFunc(slices.Clone(all), func(a netlink.Addr) bool {
		return a.Flags&unix.IFA_F_PERMANENT == 0 || a.Scope != unix.RT_SCOPE_UNIVERSE
	})
}

// passLink moves a device of this network namespace to another, by its descriptor, under a name.
func passLink(index, ns int, name string) error {
	r := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index = int32(index)
	r.AddData(m)
	r.AddData(nl.NewRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(ns))))
	r.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	_, err := r.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// givenFlags are those of an address that a person sets; the others say how it is.
const givenFlags = unix.IFA_F_NODAD | unix.IFA_F_HOMEADDRESS | unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_MCAUTOJOIN

// raise gives a device its addresses, and sets it up or leaves it down.
func raise(h *netlink.Handle, link netlink.Link, addresses []netlink.Addr, up bool) error {
	for _, a := range addresses {
		// The label names the device as it was called.
		again := &netlink.Addr{IPNet: a.IPNet, Peer: a.Peer, Broadcast: a.Broadcast, Scope: a.Scope, Flags: a.Flags & givenFlags}
		if a.Flags&unix.IFA_F_PERMANENT == 0 {
			again.ValidLft, again.PreferedLft = a.ValidLft, a.PreferedLft
		}
		if again.Broadcast == nil {
			again.Broadcast = net.IPv4zero // none; of nil the library makes one
		}
		if err := h.AddrAdd(link, again); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("give it the address %s: %w", a.IPNet, err)
		}
	}
	if !up {
		return nil
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("set it up: %w", err)
	}
	return nil
}

// Restore moves the devices back to the caller's network namespace, and makes them what they
// were, of a container that came to nothing.
func (d *Devices) Restore() error {
	if d == nil {
		return nil
	}
	var errs []error
	for _, m := range slices.Backward(d.moved) {
		if err := d.restore(m); err != nil {
			errs = append(errs, fmt.Errorf("move network device %s back: %w", m.name, err))
		}
	}
	d.moved = nil
	return errors.Join(errs...)
}

func (d *Devices) restore(m movedDevice) error {
	if m.inside != 0 {
		host, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return err
		}
		defer host.Close()
		err = inside(d.ns, func() error {
			link, err := netlink.LinkByIndex(m.inside)
			if err != nil {
				return err
			}
			if err := netlink.LinkSetDown(link); err != nil {
				return err
			}
			return passLink(m.inside, int(host.Fd()), m.name)
		})
		if err != nil {
			return err
		}
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName(m.name)
	if err != nil {
		return err
	}
	return raise(h, link, m.addresses, m.up)
}

// Close lets go of the container's network namespace.
func (d *Devices) Close() {
	if d != nil {
		d.ns.Close()
	}
}

// sameNamespace tells whether a network namespace is the caller's.
func sameNamespace(ns *os.File) (bool, error) {
	var theirs, ours unix.Stat_t
	if err := unix.Fstat(int(ns.Fd()), &theirs); err != nil {
		return false, err
	}
	if err := unix.Stat("/proc/thread-self/ns/net", &ours); err != nil {
		return false, err
	}
	return theirs.Dev == ours.Dev && theirs.Ino == ours.Ino, nil
}
