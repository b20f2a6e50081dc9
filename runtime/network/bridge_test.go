package network

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func mustBridge(t *testing.T, o Options) *Attachment {
	t.Helper()
	a, err := Bridge(o)
	if errors.Is(err, ErrUnavailable) {
		t.Skip("SKIPPED: this kernel has no bridge for us: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// rules are those of the bridge's table.
func rules(t *testing.T) []*nftables.Rule {
	t.Helper()
	c, err := nftables.New()
	must(t, err)
	table := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: tableName}
	got, err := c.GetRules(table, &nftables.Chain{Name: chainName, Table: table})
	must(t, err)
	return got
}

// TestBridgeAtOnce: containers that start at once, on a host that has no bridge yet, get one
// bridge, one rule and an address each, and reach one another. Nothing of them is left.
func TestBridgeAtOnce(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	first, _ := newNamespace(t)
	must(t, mustBridge(t, Options{Namespace: first, ID: "first"}).Close())
	link, err := netlink.LinkByName(bridgeName)
	must(t, err)
	must(t, netlink.LinkDel(link))

	const n = 20
	var wg sync.WaitGroup
	var attached [n]*Attachment
	for i := range attached {
		ns, _ := newNamespace(t)
		wg.Go(func() {
			// Some have the same number to begin with.
			a, err := Bridge(Options{Namespace: ns, ID: fmt.Sprint(i / 4)})
			if err != nil {
				t.Error(err)
				return
			}
			attached[i] = a
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	seen := map[netip.Addr]bool{}
	for _, a := range attached {
		seen[a.Address.Addr()] = true
		if a.Gateway != attached[0].Gateway || !a.Address.Contains(a.Gateway) || a.Warning != "" {
			t.Errorf("%+v", a)
		}
	}
	if len(seen) != n || len(containerLinks(t)) != n {
		t.Errorf("%d addresses and %d interfaces of %d containers", len(seen), len(containerLinks(t)), n)
	}
	if r := rules(t); len(r) != 1 {
		t.Errorf("%d rules", len(r))
	}
	l := listenIn(t, attached[0].ns, ":80")
	go sayAddress(l)
	for _, a := range attached[1:] {
		want := a.Address.Addr().String()
		if got, err := whoAmI(a.ns, attached[0].Address.Addr().String()+":80"); err != nil || got != want {
			t.Errorf("%s is seen as %q, %v", want, got, err)
		}
	}
	for _, a := range attached {
		must(t, a.Close())
	}
	if left := containerLinks(t); len(left) > 0 {
		t.Errorf("there still are %v", left)
	}
}

// TestBridgeMasquerade: what a container sends to others comes from the host, also after
// somebody has flushed all rules; and the host reaches the container.
func TestBridgeMasquerade(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	outside, ours, theirs := outsideOf(t)
	go sayAddress(listenIn(t, outside, ":7000"))
	for range 2 {
		ns, _ := newNamespace(t)
		a := mustBridge(t, Options{Namespace: ns, ID: t.Name()})
		if got, err := whoAmI(ns, theirs.String()+":7000"); err != nil || got != ours.String() {
			t.Errorf("outside sees %q, %v; want %s", got, err, ours)
		}
		go sayAddress(listenIn(t, ns, ":80"))
		c, err := a.dial(t.Context(), "tcp", 80)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		must(t, a.Close())
		nft, err := nftables.New()
		must(t, err)
		nft.FlushRuleset()
		must(t, nft.Flush())
	}
}

// TestBridgeKilled: an address is free when the namespace is gone, whoever is left to know
// of it; until then nobody else gets it. A container has the same one again.
func TestBridgeKilled(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	ns, end := newNamespace(t)
	first := mustBridge(t, Options{Namespace: ns, ID: "x"})
	other, _ := newNamespace(t)
	second := mustBridge(t, Options{Namespace: other, ID: "x"})
	if first.Address == second.Address {
		t.Fatalf("two have %v", first.Address)
	}
	must(t, second.Close())
	end() // and first is forgotten
	for deadline := time.Now().Add(20 * time.Second); len(containerLinks(t)) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("there still are %v", containerLinks(t))
		}
	}
	again, _ := newNamespace(t)
	third := mustBridge(t, Options{Namespace: again, ID: "x"})
	defer third.Close()
	if third.Address != first.Address {
		t.Errorf("%v was free, and got %v", first.Address, third.Address)
	}
	must(t, first.Close()) // of an interface that isn't there
}

// TestAttachFallsBack: where there can't be a bridge, as somebody has its name, root has a
// user-mode network, and is told so.
func TestAttachFallsBack(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = bridgeName
	veth := netlink.NewVeth(attrs)
	veth.PeerName = "peer"
	must(t, netlink.LinkAdd(veth))
	must(t, netlink.AddrAdd(veth, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("10.200.0.1/16"))}))
	ns, _ := newNamespace(t)
	t.Setenv(DriverEnv, "netstack")
	a, err := Attach(t.Context(), Options{Namespace: ns, ID: "x"})
	must(t, err)
	defer a.Close()
	if a.Driver != "netstack" || !strings.HasSuffix(a.Warning, "a user-mode network (netstack) instead") {
		t.Errorf("%s, %q", a.Driver, a.Warning)
	}
	if left := containerLinks(t); len(left) > 0 {
		t.Errorf("there still are %v", left)
	}
}

func TestBridgeError(t *testing.T) {
	for err, want := range map[error]bool{
		unix.EPERM: true, unix.EOPNOTSUPP: true, fmt.Errorf("rules: %w", unix.ENOENT): true,
		unix.ENOSPC: false, ErrNoAddress: false,
	} {
		if got := errors.Is(bridgeError(err), ErrUnavailable); got != want {
			t.Errorf("%v: unavailable %v", err, got)
		}
	}
}
