package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
)

// ErrNoAddress is returned when every address of the bridge's network is taken.
var ErrNoAddress = errors.New("no available IPv4 addresses on this network") // Docker's words

// linkPrefix begins the names of containers' interfaces on the host. The rest is
// the number of the address in its network, in hexadecimal.
const linkPrefix = "cfs"

// linkName is what the host's side of a container's interface is called. That a name is
// given to one interface only is what keeps two containers from having one address.
func linkName(number uint32) string { return fmt.Sprintf("%s%05x", linkPrefix, number) }

// A subnet is the bridge's network; the bridge has its first address.
type subnet struct{ netip.Prefix }

// size is how many addresses there are, with those that can't be given away.
func (s subnet) size() uint32 { return 1 << (32 - s.Bits()) }

// address is the one with a number.
func (s subnet) address(number uint32) netip.Addr {
	base := s.Masked().Addr().As4()
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(base[:])|number)
	return netip.AddrFrom4(a)
}

// numbers yields every number that a container may have: not the network's own, the
// bridge's and the last one, which is for broadcasts. It begins at one that depends on
// the container's id, so that a container most likely has the same each time, and
// two that start at once don't try the same.
func (s subnet) numbers(id string) func(yield func(uint32) bool) {
	return func(yield func(uint32) bool) {
		h := fnv.New32a()
		h.Write([]byte(id))
		n := s.size() - 3
		start := h.Sum32() % n
		for i := range n {
			if !yield(2 + (start+i)%n) {
				return
			}
		}
	}
}

// hardwareAddr is the one that belongs to an address, as Docker makes them: neighbours
// that remember an address from an earlier container are still right.
func hardwareAddr(a netip.Addr) net.HardwareAddr {
	ip := a.As4()
	return net.HardwareAddr{0x02, 0x42, ip[0], ip[1], ip[2], ip[3]}
}

// freeSubnet is the first network for a bridge that overlaps none that is taken.
func freeSubnet(taken []netip.Prefix) (subnet, error) {
	for _, c := range subnetCandidates() {
		free := true
		for _, t := range taken {
			// A default route overlaps everything, and is in nobody's way.
			if t.Bits() > 0 && t.Overlaps(c) {
				free = false
				break
			}
		}
		if free {
			return subnet{c}, nil
		}
	}
	return subnet{}, errors.New("every private network that a bridge could have is routed elsewhere already")
}

// subnetCandidates are of the private address space (RFC 1918), but not where Docker
// (172.17.0.0/16 and on) and podman (10.88.0.0/16 and on) begin.
func subnetCandidates() (all []netip.Prefix) {
	for n := byte(200); n < 255; n++ {
		all = append(all, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, n, 0, 0}), 16))
	}
	for n := byte(200); n < 255; n++ {
		all = append(all, netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, n, 0}), 24))
	}
	return all
}
