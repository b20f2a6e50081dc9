package network

import (
	"net/netip"
	"os"
	"strings"
	"testing"
)

func TestSixNetwork(t *testing.T) {
	n := sixNetwork()
	if n != sixNetwork() || !n.Addr().IsPrivate() || n != n.Masked() || n.Bits() != 64 {
		t.Errorf("%v", n)
	}
	for number, want := range map[uint32]string{1: "fd00::1", 0xabcdef: "fd00::ab:cdef"} {
		if got := sixAddress(netip.MustParsePrefix("fd00::/64"), number); got.String() != want {
			t.Errorf("%x: %v, want %s", number, got, want)
		}
	}
}

// TestBridgeSix: containers have an address of IPv6 by which they reach one another, and
// the outside as the host; who learned the way out from a router goes on doing so.
func TestBridgeSix(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	if _, err := os.Stat(sixConf); err != nil {
		t.Skip("SKIPPED: this kernel has no IPv6")
	}
	outside, _, _ := outsideOf(t)
	go sayAddress(listenIn(t, outside, ":7000"))
	one, _ := newNamespace(t)
	a := mustBridge(t, Options{Namespace: one, ID: "one"})
	two, _ := newNamespace(t)
	b := mustBridge(t, Options{Namespace: two, ID: "two"})
	if !a.Address6.IsValid() {
		t.Skip("SKIPPED: no IPv6 for containers on this kernel")
	}
	if a.Gateway6 != b.Gateway6 || a.Address6 == b.Address6 || !a.Address6.Contains(a.Gateway6) || !a.reaches6 {
		t.Errorf("%+v, %+v", a, b)
	}
	go sayAddress(listenIn(t, one, ":80"))
	if got, err := whoAmI(two, "["+a.Address6.Addr().String()+"]:80"); err != nil || got != b.Address6.Addr().String() {
		t.Errorf("%v is seen as %q, %v", b.Address6, got, err)
	}
	if got, err := whoAmI(one, "["+theirsSix.String()+"]:7000"); err != nil || got != oursSix.String() {
		t.Errorf("outside sees %q, %v", got, err)
	}
	if got := a.ResolvConf("nameserver 2001:db8::2\nnameserver fe80::1\nnameserver ::1\n"); got != "nameserver 2001:db8::2\n" {
		t.Errorf("resolv.conf: %q", got)
	}
	must(t, a.Close())
	must(t, b.Close())
}

// TestBridgeSixOff: a container whose namespace has no IPv6, or of a host that has it
// disabled, has an address of IPv4 alone.
func TestBridgeSixOff(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	file := sixConf + "default/disable_ipv6"
	if err := os.WriteFile(file, []byte("1\n"), 0); err != nil {
		t.Skip("SKIPPED: ", err)
	}
	ns, _ := newNamespace(t)
	a := mustBridge(t, Options{Namespace: ns, ID: "x"})
	defer a.Close()
	if a.Address6.IsValid() || a.Gateway6.IsValid() || a.reaches6 {
		t.Errorf("%+v", a)
	}
	if b, err := os.ReadFile(sixConf + "all/forwarding"); err != nil || strings.TrimSpace(string(b)) != "0" {
		t.Errorf("IPv6 is forwarded: %s %v", b, err)
	}
}
