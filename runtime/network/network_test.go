package network

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/deathsig"
)

// ownNetworkVar marks the run of a test that has a network of its own.
const ownNetworkVar = "CFS_TEST_OWN_NETWORK"

// ownNetwork runs the calling test again, in network and mount namespaces of its own with a
// loopback interface, and tells whether this is that run. It needs root.
func ownNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv(ownNetworkVar) == t.Name() {
		must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		lo, err := netlink.LinkByName("lo")
		must(t, err)
		must(t, netlink.LinkSetUp(lo))
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root to have a network of its own")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v=true", "-test.timeout=120s")
	cmd.Env = append(os.Environ(), ownNetworkVar+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) && !bytes.Contains(out, []byte("--- SKIP: "+t.Name())) {
		t.Errorf("in a network of its own: %v\n%s", err, out)
	}
	if bytes.Contains(out, []byte("--- SKIP: ")) {
		t.Skipf("SKIPPED in a network of its own:\n%s", out)
	}
	return false
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newNamespace is a network namespace with a loopback interface, and a process in it until end.
func newNamespace(t *testing.T) (ns *os.File, end func()) {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	must(t, deathsig.Start(cmd))
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid))
	end = func() {
		ns.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	if err != nil {
		end()
		t.Fatal(err)
	}
	t.Cleanup(end)
	h, err := netlink.NewHandleAt(netns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	must(t, err)
	defer h.Close()
	lo, err := h.LinkByName("lo")
	must(t, err)
	must(t, h.LinkSetUp(lo))
	return ns, end
}

// dialFrom opens a connection in a namespace.
func dialFrom(ns *os.File, protocol, address string) (c net.Conn, err error) {
	err = inside(ns, func() error {
		c, err = net.DialTimeout(protocol, address, 20*time.Second)
		return err
	})
	return c, err
}

// listenIn opens a listening socket in a namespace.
func listenIn(t *testing.T, ns *os.File, address string) (l net.Listener) {
	t.Helper()
	must(t, inside(ns, func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	}))
	t.Cleanup(func() { l.Close() })
	return l
}

// sayAddress answers every connection with who has opened it.
func sayAddress(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_, _ = io.WriteString(c, c.RemoteAddr().(*net.TCPAddr).IP.String())
		}()
	}
}

// whoAmI asks such a server from a namespace.
func whoAmI(ns *os.File, address string) (string, error) {
	c, err := dialFrom(ns, "tcp", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	b, err := io.ReadAll(c)
	return string(b), err
}

// outsideOf connects a namespace, in which nobody knows the way to containers, with this
// one, which has the first address, and returns it.
func outsideOf(t *testing.T) (ns *os.File, ours, theirs netip.Addr) {
	t.Helper()
	ns, _ = newNamespace(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "outside0"
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerNamespace = "outside1", netlink.NsFd(int(ns.Fd()))
	must(t, netlink.LinkAdd(veth))
	ours, theirs = netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")
	must(t, netlink.AddrAdd(veth, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(ours, 24))}))
	must(t, netlink.LinkSetUp(veth))
	must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: veth.Attrs().Index, Gw: theirs.AsSlice()}))
	h, err := netlink.NewHandleAt(netns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	must(t, err)
	defer h.Close()
	link, err := h.LinkByName("outside1")
	must(t, err)
	must(t, h.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(theirs, 24))}))
	must(t, h.LinkSetUp(link))
	if _, err := os.Stat(sixConf); err == nil {
		must(t, netlink.AddrAdd(veth, sixAddr(oursSix)))
		must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: veth.Attrs().Index, Gw: theirsSix.AsSlice()}))
		must(t, h.AddrAdd(link, sixAddr(theirsSix)))
	}
	return ns, ours, theirs
}

// oursSix and theirsSix are the same of IPv6.
var oursSix, theirsSix = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")

// containerLinks are the interfaces of containers on this host.
func containerLinks(t *testing.T) (names []string) {
	t.Helper()
	links, err := netlink.LinkList()
	must(t, err)
	for _, l := range links {
		if n := l.Attrs().Name; strings.HasPrefix(n, linkPrefix) && n != bridgeName {
			names = append(names, n)
		}
	}
	return names
}

// nameServer makes the machine's only name server one on its loopback interface, which
// answers every packet with itself, and is there for this test alone.
func nameServer(t *testing.T) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "resolv.conf")
	must(t, os.WriteFile(path, []byte("nameserver 127.0.0.53\n"), 0o644))
	must(t, unix.Mount(path, hostResolv, "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(hostResolv, 0)) })
	l, err := net.ListenPacket("udp4", "127.0.0.53:53")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		b := make([]byte, maxPacket)
		for {
			n, from, err := l.ReadFrom(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_, _ = l.WriteTo(b[:n], from)
			}
		}
	}()
}
