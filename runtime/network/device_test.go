package network

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// addDevice makes a device with addresses, which go with the namespace of the test.
func addDevice(t *testing.T, name string, up bool, addresses ...netlink.Addr) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = name, 1300
	attrs.HardwareAddr = net.HardwareAddr{2, 0, 0, 0, 0, byte(len(name))}
	link := netlink.NewVeth(attrs)
	link.PeerName = "to" + name
	must(t, netlink.LinkAdd(link))
	for _, a := range addresses {
		must(t, netlink.AddrAdd(link, &a))
	}
	if up {
		must(t, netlink.LinkSetUp(link))
	}
}

func address(t *testing.T, cidr string) netlink.Addr {
	t.Helper()
	a, err := netlink.ParseAddr(cidr)
	must(t, err)
	if a.IP.To4() == nil {
		a.Flags = unix.IFA_F_NODAD
	}
	return *a
}

// described is what a namespace has of a device: its flags, size of packets, and addresses that are meant to stay.
func described(t *testing.T, h *netlink.Handle, name string) string {
	t.Helper()
	link, err := h.LinkByName(name)
	if err != nil {
		return "none"
	}
	all, err := h.AddrList(link, netlink.FAMILY_ALL)
	must(t, err)
	text := fmt.Sprintf("up %v, %d, %s", link.Attrs().Flags&unix.IFF_UP != 0, link.Attrs().MTU, link.Attrs().HardwareAddr)
	var list []string
	for _, a := range all {
		if a.Scope == unix.RT_SCOPE_LINK && a.IP.To4() == nil {
			continue // the kernel's own, of a device that is up
		}
		list = append(list, fmt.Sprintf("%s broadcast %v", a.IPNet, a.Broadcast))
	}
	slices.Sort(list)
	return text + "; " + strings.Join(list, "; ")
}

func TestMoveDevices(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	ns, end := newNamespace(t)
	defer end()
	path := fmt.Sprintf("/proc/self/fd/%d", ns.Fd())
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	must(t, err)
	inside, err := handleIn(ns)
	must(t, err)

	temporary, local := address(t, "192.0.2.7/24"), address(t, "203.0.113.8/24")
	temporary.ValidLft, temporary.PreferedLft = 1000, 1000
	local.Scope = int(netlink.SCOPE_LINK)
	plain := address(t, "192.0.2.1/24")
	plain.Broadcast = net.IPv4zero
	addDevice(t, "dev0", true, plain, address(t, "198.51.100.1/24"), address(t, "2001:db8::1/64"), temporary, local)
	addDevice(t, "dev1", false)
	addDevice(t, "dev22", true)
	addDevice(t, "dev333", true)
	was := described(t, host, "dev0")

	// What of a device can't be moved is said, and all others are what they were.
	for text, devices := range map[string]map[string]specs.LinuxNetDevice{
		"move network device nosuch: ":                          {"dev0": {Name: "eth0"}, "nosuch": {}},
		"move network device dev1: the container has a device ": {"dev0": {Name: "eth0"}, "dev1": {Name: "lo"}},
		"move network device lo: ":                              {"dev0": {}, "lo": {Name: "loop"}},
	} {
		if _, err := MoveDevices(devices, path); err == nil || !strings.HasPrefix(err.Error(), text) {
			t.Errorf("%v: %v, want %s", devices, err, text)
		}
		if got := described(t, host, "dev0"); got != was {
			t.Errorf("after %s: %s, want %s", text, got, was)
		}
		for _, name := range []string{"dev0", "eth0", "loop"} {
			if got := described(t, inside, name); got != "none" {
				t.Errorf("after %s there is %s in the container: %s", text, name, got)
			}
		}
	}
	if _, err := MoveDevices(map[string]specs.LinuxNetDevice{"dev0": {}}, "/proc/self/ns/net"); err == nil || !strings.Contains(err.Error(), "is the host's") {
		t.Errorf("moved to where it is: %v", err)
	}

	d, err := MoveDevices(map[string]specs.LinuxNetDevice{"dev0": {Name: "eth0"}, "dev1": {}, "dev22": {Name: "lan%d"}, "dev333": {Name: "lan%d"}}, path)
	must(t, err)
	defer d.Close()
	const first, other = "192.0.2.1/24 broadcast <nil>", "198.51.100.1/24 broadcast 198.51.100.255; 2001:db8::1/64 broadcast <nil>"
	for name, want := range map[string]string{
		"eth0": "up true, 1300, 02:00:00:00:00:04; " + first + "; " + other, "dev1": "up true, 1300, 02:00:00:00:00:04; ",
		"lan0": "up true, 1300, 02:00:00:00:00:05; ", "lan1": "up true, 1300, 02:00:00:00:00:06; ",
	} {
		if got := described(t, inside, name); got != want {
			t.Errorf("%s in the container: %s, want %s", name, got, want)
		}
	}
	for _, name := range []string{"dev0", "dev1", "dev22", "dev333"} {
		if _, err := host.LinkByName(name); !errors.As(err, new(netlink.LinkNotFoundError)) {
			t.Errorf("%s is still the host's: %v", name, err)
		}
	}

	must(t, d.Restore())
	for name, want := range map[string]string{
		"dev0": was, "dev1": "up false, 1300, 02:00:00:00:00:04; ",
		"dev22": "up true, 1300, 02:00:00:00:00:05; ", "dev333": "up true, 1300, 02:00:00:00:00:06; ",
	} {
		if got := described(t, host, name); got != want {
			t.Errorf("%s back on the host: %s, want %s", name, got, want)
		}
	}
}
