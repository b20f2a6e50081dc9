package network

import (
	"bytes"
	"fmt"
	"net"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// tableName is the one table of nftables that is cfs's. It says, in the words of nft(8):
//
//	table ip cfs {
//		chain postrouting {
//			type nat hook postrouting priority srcnat;
//			ip saddr 10.200.0.0/16 oifname != "cfs0" masquerade comment "containers of 10.200.0.0/16"
//		}
//	}
const (
	tableName = "cfs"
	chainName = "postrouting"
)

// masquerade has what containers send to the outside come from the host. A rule that is
// there is left alone: other firewalls may have flushed it.
func masquerade(network subnet) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	table := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: tableName}
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

func masqueradeExprs(network subnet) []expr.Any {
	base := network.Masked().Addr().As4()
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, bridgeName)
	return []expr.Any{
		// The source address, at byte 12 of the header (RFC 791).
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: net.CIDRMask(network.Bits(), 32), Xor: binaryutil.NativeEndian.PutUint32(0)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: base[:]},
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: name},
		&expr.Masq{},
	}
}
