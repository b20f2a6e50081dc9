// Package network connects a container's network namespace with the outside, and
// publishes its ports on the host.
//
//	          bridge (privileged)                     user-mode (anybody)
//
//	container  eth0 10.90.x.y/16               eth0 10.0.2.100/24, a tun device
//	            │ veth                            │ packets
//	host       cfsXXXX ── cfs0 10.90.0.1       pasta, slirp4netns, or netstack here
//	                       │ masquerade           │ plain sockets
//	            outside ◄──┘           outside ◄──┘
//
//	host port ◄── listener ── proxy ──► the container's address   (either way)
//
// # Vocabulary
//
//   - An attachment is a container's connection: what [Attach] makes, and Close ends.
//   - IPv6 goes beside it, where the host has it: the bridge has unique local addresses and
//     NAT as of IPv4. User-mode networks pass it on: of slirp4netns, which gives no address
//     itself, the address is set here.
//   - The bridge is one for all containers of a host, whatever store they are in. It
//     is made at first need and stays, as Docker's does, with a table of nftables for IPv4
//     and one for IPv6, and two rules in the host's firewall where that drops what it forwards,
//     whether it is one of nftables or of the kernel's older tables.
//   - User-mode networks are served by a process: packets become sockets of its own.
//   - Publishing is accepting connections on the host and passing them on. It is done by
//     the process that called [Attachment.Publish], for loopback addresses as for others;
//     no rule is left behind.
//
// # Invariants
//
//   - The kernel holds all state. A container's address is the name of its interface on
//     the host, which only one can have, and which goes with the namespace, however
//     its processes ended. There are no files, and no locks.
//   - What is made in several steps gets its name last: a bridge has its address before
//     it is called cfs0, and the table is replaced in one transaction.
//   - Nothing outlives the process that called Attach but what the kernel takes down by
//     itself: helpers die with it, interfaces with the namespace.
package network
