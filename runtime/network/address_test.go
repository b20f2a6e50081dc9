package network

import (
	"errors"
	"net/netip"
	"testing"
)

func prefixes(list ...string) (all []netip.Prefix) {
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func TestFreeSubnet(t *testing.T) {
	for _, tc := range []struct {
		taken []netip.Prefix
		want  string
	}{
		{nil, "10.200.0.0/16"},
		{prefixes("0.0.0.0/0"), "10.200.0.0/16"},
		{prefixes("10.200.7.0/24"), "10.201.0.0/16"},
		{prefixes("10.200.0.1/32", "10.201.0.0/16", "192.0.2.0/24"), "10.202.0.0/16"},
		{prefixes("10.0.0.0/8"), "192.168.200.0/24"},
		{prefixes("10.0.0.0/8", "192.168.200.0/22"), "192.168.204.0/24"},
	} {
		got, err := freeSubnet(tc.taken)
		if err != nil || got.String() != tc.want {
			t.Errorf("beside %v: %v, %v; want %s", tc.taken, got, err, tc.want)
		}
	}
	if got, err := freeSubnet(prefixes("10.0.0.0/8", "192.168.0.0/16")); err == nil {
		t.Errorf("got %v where everything is taken", got)
	}
}

// TestNumbers: every number is tried once, whatever the id, and none that a container
// must not have; names and addresses are different ones.
func TestNumbers(t *testing.T) {
	for _, s := range []string{"10.200.0.1/20", "192.168.200.0/24", "10.1.2.8/29"} {
		p := netip.MustParsePrefix(s)
		for _, id := range []string{"", "a", "0123456789abcdef"} {
			names, addrs := map[string]bool{}, map[netip.Addr]bool{}
			for n := range (subnet{p}).numbers(id) {
				a := subnet{p}.address(n)
				if !p.Contains(a) || a == p.Masked().Addr() || a == (subnet{p}).address(1) || !p.Contains(a.Next()) {
					t.Fatalf("%s: number %d is %v", s, n, a)
				}
				names[linkName(n)], addrs[a] = true, true
				if len(linkName(n)) > 15 {
					t.Fatalf("%q is too long for an interface", linkName(n))
				}
			}
			if want := 1<<(32-p.Bits()) - 3; len(names) != want || len(addrs) != want {
				t.Errorf("%s: %d names and %d addresses, want %d", s, len(names), len(addrs), want)
			}
		}
	}
}

// TestNumbersStable: a container has the same address each time, and containers begin at
// different ones.
func TestNumbersStable(t *testing.T) {
	first := func(id string) uint32 {
		for n := range (subnet{netip.MustParsePrefix("10.200.0.0/16")}).numbers(id) {
			return n
		}
		panic(errors.New("no number"))
	}
	one, again, other := first("a"), first("a"), first("b")
	if one != again || one == other {
		t.Error(one, again, other)
	}
}
