package network

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// tableName is what the tables of nftables that are cfs's are called. One says, in the words of nft(8):
//
//	table ip cfs {
//		chain postrouting {
//			type nat hook postrouting priority srcnat;
//			ip saddr 10.200.0.0/16 oifname != "cfs0" masquerade comment "containers of 10.200.0.0/16"
//		}
//	}
//
// and a table ip6 cfs says the same of the bridge's IPv6 network.
const (
	tableName = "cfs"
	chainName = "postrouting"
)

// masquerade has what containers send to the outside come from the host. A rule that is
// there is left alone: other firewalls may have flushed it.
func masquerade(network netip.Prefix) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	table := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: tableName}
	if network.Addr().Is6() {
		table.Family = nftables.TableFamilyIPv6
	}
	chain := &nftables.Chain{
		Name: chainName, Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	}
	comment := userdata.AppendString(nil, userdata.TypeComment, "containers of "+network.Masked().String())
	rules, err := c.GetRules(table, chain)
	if err == nil && len(rules) == 1 && bytes.Equal(rules[0].UserData, comment) {
		return nil
	}
	// A transaction. The first line is for the second, which fails where there is no table.
	c.AddTable(table)
	c.DelTable(table)
	c.AddTable(table)
	c.AddChain(chain)
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, UserData: comment, Exprs: masqueradeExprs(network)})
	if err := c.Flush(); err != nil {
		return fmt.Errorf("set rules of nftables: %w", err)
	}
	return nil
}

func masqueradeExprs(network netip.Prefix) []expr.Any {
	base := network.Masked().Addr().AsSlice()
	size, at := uint32(len(base)), uint32(12) // of the source address in the header (RFC 791)
	if network.Addr().Is6() {
		at = 8 // RFC 8200
	}
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, bridgeName)
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: at, Len: size},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: net.CIDRMask(network.Bits(), 8*len(base)), Xor: make([]byte, size)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: base},
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: name},
		&expr.Masq{},
	}
}
