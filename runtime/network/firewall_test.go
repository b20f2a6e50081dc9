package network

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/nftables"
)

// iptablesHere runs iptables, as Docker's installation would, in this test's network.
func iptablesHere(t *testing.T, program string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skip("SKIPPED: ", err)
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v %s", program, args, err, out)
	}
	return string(out)
}

func TestBridgeFirewall(t *testing.T)       { testBridgeFirewall(t, "iptables-nft") }
func TestBridgeLegacyFirewall(t *testing.T) { testBridgeFirewall(t, "iptables-legacy") }

// testBridgeFirewall: a host whose firewall drops what is not asked for, as those of ufw and
// Docker do, lets containers through, by two rules that are made once, or again when
// somebody has flushed them, and iptables still knows its tables.
func testBridgeFirewall(t *testing.T, program string) {
	if !ownNetwork(t) {
		return
	}
	outside, ours, theirs := outsideOf(t)
	go sayAddress(listenIn(t, outside, ":7000"))
	reaches := func() {
		t.Helper()
		ns, end := newNamespace(t)
		defer end()
		a := mustBridge(t, Options{Namespace: ns, ID: "x"})
		if a.Warning != "" {
			t.Error(a.Warning)
		}
		if got, err := whoAmI(ns, theirs.String()+":7000"); err != nil || got != ours.String() {
			t.Errorf("outside sees %q, %v", got, err)
		}
		must(t, a.Close())
	}
	rulesOf := func(chain string) int { return strings.Count(iptablesHere(t, program, "-S", chain), bridgeName+" ") }

	iptablesHere(t, program, "-P", "FORWARD", "DROP")
	iptablesHere(t, program, "-A", "FORWARD", "-i", "other0", "-j", "ACCEPT")
	reaches()
	reaches()
	if n := rulesOf("FORWARD"); n != 2 || !strings.Contains(iptablesHere(t, program, "-S", "FORWARD"), "other0") {
		t.Errorf("%d rules:\n%s", n, iptablesHere(t, program, "-S"))
	}
	iptablesHere(t, program, "-F", "FORWARD")
	iptablesHere(t, program, "-N", "DOCKER-USER")
	iptablesHere(t, program, "-A", "FORWARD", "-j", "DOCKER-USER")
	iptablesHere(t, program, "-A", "DOCKER-USER", "-j", "RETURN")
	reaches()
	reaches()
	if f, d := rulesOf("FORWARD"), rulesOf("DOCKER-USER"); f != 0 || d != 2 {
		t.Errorf("%d and %d rules:\n%s", f, d, iptablesHere(t, program, "-S"))
	}
}

// TestBridgeLegacyUnknown: where nobody can look into the older tables, the person is told.
func TestBridgeLegacyUnknown(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	ns, _ := newNamespace(t)
	attached := func() string {
		t.Helper()
		a := mustBridge(t, Options{Namespace: ns, ID: "x"})
		must(t, a.Close())
		return a.Warning
	}
	if w := attached(); w != "" {
		t.Errorf("nobody has such tables, and yet: %s", w)
	}
	iptablesHere(t, "iptables-legacy", "-P", "FORWARD", "DROP")
	t.Setenv("PATH", t.TempDir())
	if w := attached(); !strings.Contains(w, "iptables-legacy is not installed") || !strings.Contains(w, "iptables-legacy -I FORWARD -i cfs0 -j ACCEPT") {
		t.Errorf("warning %q", w)
	}
}

// TestBridgeForeignFirewall: a chain that somebody has made for himself is left alone, and the
// person is told of it, until there are rules of the bridge.
func TestBridgeForeignFirewall(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	c, err := nftables.New()
	must(t, err)
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "mine"})
	drop := nftables.ChainPolicyDrop
	chain := c.AddChain(&nftables.Chain{
		Name: "forward", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward,
		Priority: nftables.ChainPriorityFilter, Policy: &drop,
	})
	must(t, c.Flush())
	ns, _ := newNamespace(t)
	a := mustBridge(t, Options{Namespace: ns, ID: "x"})
	if !strings.Contains(a.Warning, "nft insert rule inet mine forward iifname cfs0 accept") {
		t.Errorf("warning %q", a.Warning)
	}
	must(t, a.Close())
	if rules, err := c.GetRules(table, chain); err != nil || len(rules) != 0 {
		t.Errorf("%d rules, %v", len(rules), err)
	}
}
