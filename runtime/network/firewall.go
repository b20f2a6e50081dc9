package network

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// passFirewall has packets of containers pass the host's firewall, if that drops what it is
// not told to forward, as those of Docker and ufw do: what containers send, and the answers.
// That goes into the tables of iptables, at the head of Docker's DOCKER-USER or of FORWARD,
// where nothing else is touched; rules that are there are left alone. Chains of other tables
// are somebody's own, of whom the person is told who they are. A packet has to pass the
// kernel's older tables as well, which a host may have beside those of nftables.
func passFirewall(families ...nftables.TableFamily) (warning string) {
	warnings := passNftables(families)
	for _, f := range families {
		if err := passLegacy(f); err != nil {
			warnings = append(warnings, err.Error())
		}
	}
	return strings.Join(warnings, "; ")
}

func passNftables(families []nftables.TableFamily) (warnings []string) {
	c, err := nftables.New()
	if err != nil {
		return nil // without nftables there are no such chains
	}
	chains, err := c.ListChains()
	if err != nil {
		return nil
	}
	for _, ch := range chains {
		if !dropsForwarded(ch) || ch.Table.Family != nftables.TableFamilyINet && !slices.Contains(families, ch.Table.Family) {
			continue
		}
		if err := passChain(c, ch, chains); err != nil {
			warnings = append(warnings, err.Error())
		}
	}
	return warnings
}

// dropsForwarded tells whether packets that are not for the host itself are dropped at the
// end of a chain.
func dropsForwarded(ch *nftables.Chain) bool {
	return ch.Hooknum != nil && *ch.Hooknum == *nftables.ChainHookForward && ch.Policy != nil && *ch.Policy == nftables.ChainPolicyDrop
}

// passChain has containers' packets pass one chain.
func passChain(c *nftables.Conn, ch *nftables.Chain, all []*nftables.Chain) error {
	program, ofIptables := iptables[ch.Table.Family]
	ofIptables = ofIptables && ch.Table.Name == "filter" && ch.Name == "FORWARD"
	first := ch
	if ofIptables {
		for _, other := range all {
			if other.Name == "DOCKER-USER" && *other.Table == *ch.Table {
				first = other
			}
		}
	}
	if passes(c, first) || passes(c, ch) {
		return nil
	}
	if ofIptables {
		path, err := exec.LookPath(program + "-nft")
		if err != nil {
			if path, err = exec.LookPath(program); err != nil {
				return droppedError(ch, program+" is not installed")
			}
		}
		if err := runIptables(path, first.Name); err != nil {
			return droppedError(ch, err.Error())
		}
		return nil
	}
	return droppedError(ch, "it is nobody's but its owner's")
}

// iptables are the programs that own tables of nftables called filter.
var iptables = map[nftables.TableFamily]string{nftables.TableFamilyIPv4: "iptables", nftables.TableFamilyIPv6: "ip6tables"}

// familyNames are nft(8)'s.
var familyNames = map[nftables.TableFamily]string{nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyINet: "inet"}

func droppedError(ch *nftables.Chain, why string) error {
	place := fmt.Sprintf("%s %s %s", familyNames[ch.Table.Family], ch.Table.Name, ch.Name)
	return fmt.Errorf("the host's firewall, chain %[1]s of nftables, may drop what containers send (%[3]s): "+
		"nft insert rule %[1]s iifname %[2]s accept; nft insert rule %[1]s oifname %[2]s ct state established,related accept", place, bridgeName, why)
}

// passes tells whether a chain has rules of the bridge, both ways.
func passes(c *nftables.Conn, ch *nftables.Chain) bool {
	rules, err := c.GetRules(ch.Table, ch)
	if err != nil {
		return false
	}
	found := map[expr.MetaKey]bool{}
	for _, r := range rules {
		var key expr.MetaKey
		for _, e := range r.Exprs {
			switch e := e.(type) {
			case *expr.Meta:
				key = e.Key
			case *expr.Cmp:
				if e.Op == expr.CmpOpEq && string(bytes.TrimRight(e.Data, "\x00")) == bridgeName {
					found[key] = true
				}
			}
		}
	}
	return found[expr.MetaKeyIIFNAME] && found[expr.MetaKeyOIFNAME]
}

// runIptables has a program insert the rules that Docker has for its own bridge.
func runIptables(path, chain string) error {
	for _, match := range [][]string{
		{"-o", bridgeName, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED"},
		{"-i", bridgeName},
	} {
		rule := append(match, "-m", "comment", "--comment", "containers of cfs", "-j", "ACCEPT")
		run := func(op string) ([]byte, error) {
			return exec.Command(path, append([]string{"--wait", "5", op, chain}, rule...)...).CombinedOutput()
		}
		if _, err := run("-C"); err == nil {
			continue
		}
		if out, err := run("-I"); err != nil {
			return fmt.Errorf("%s: %w: %s", path, err, bytes.TrimSpace(out))
		}
	}
	return nil
}
