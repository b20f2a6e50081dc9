package userns

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Range maps Size ids from Container (inside the namespace) to Host.
type Range struct {
	Container, Host, Size uint32
}

// A Mapping says which ids a namespace made by this process has. Its zero value
// is the privileged one: no user namespace, ids are what they are.
type Mapping struct {
	UID, GID []Range
	// Paths of newuidmap and newgidmap, which write the maps of a namespace of
	// more than one id.
	UIDHelper, GIDHelper string
}

// Privileged tells that no user namespace is needed.
func (m Mapping) Privileged() bool { return len(m.UID) == 0 }

// Single tells that the namespace has one uid and one gid, and no supplementary groups.
func (m Mapping) Single() bool { return len(m.UID) == 1 && m.UID[0].Size == 1 }

// HasUID tells whether uid exists inside.
func (m Mapping) HasUID(uid uint32) bool { return m.Privileged() || contains(m.UID, uid) }

// HasGID tells whether gid exists inside.
func (m Mapping) HasGID(gid uint32) bool { return m.Privileged() || contains(m.GID, gid) }

// String is "privileged", or the maps as "0:1000:1,1:100000:65536".
func (m Mapping) String() string {
	if m.Privileged() {
		return "privileged"
	}
	u, g := format(m.UID, ":", ","), format(m.GID, ":", ",")
	if u == g {
		return u
	}
	return "uid " + u + " gid " + g
}

// Current is the mapping the calling process lives in: the privileged one in
// the initial user namespace (or one that maps every id to itself).
func Current() (Mapping, error) {
	u, err := readMap("/proc/self/uid_map")
	if err != nil {
		return Mapping{}, err
	}
	g, err := readMap("/proc/self/gid_map")
	if err != nil {
		return Mapping{}, err
	}
	if identity(u) && identity(g) {
		return Mapping{}, nil
	}
	return Mapping{UID: u, GID: g}, nil
}

// SetgroupsDenied tells whether the kernel refuses setgroups(2) to every process
// of the calling process's user namespace (user_namespaces(7)).
func SetgroupsDenied() bool {
	b, err := os.ReadFile("/proc/self/setgroups")
	return err == nil && strings.TrimSpace(string(b)) == "deny"
}

// MaySetGroups tells whether this process may let a user namespace that it makes call
// setgroups(2), which takes CAP_SETGID.
func MaySetGroups() bool { return haveCapability(unix.CAP_SETGID) }

func identity(r []Range) bool {
	return len(r) == 1 && r[0] == Range{0, 0, 1<<32 - 1}
}

func contains(rs []Range, id uint32) bool {
	for _, r := range rs {
		if id >= r.Container && id-r.Container < r.Size {
			return true
		}
	}
	return false
}

func format(rs []Range, in, between string) string {
	var b strings.Builder
	for i, r := range rs {
		if i > 0 {
			b.WriteString(between)
		}
		fmt.Fprintf(&b, "%d%s%d%s%d", r.Container, in, r.Host, in, r.Size)
	}
	return b.String()
}

func readMap(path string) ([]Range, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read id map: %w", err)
	}
	return parseMap(string(b))
}

func parseMap(s string) ([]Range, error) {
	var rs []Range
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		var n [3]uint32
		if len(f) != 3 {
			return nil, fmt.Errorf("parse id map: line %q", line)
		}
		for i := range f {
			v, err := strconv.ParseUint(f[i], 10, 32)
			if err != nil {
				return nil, fmt.Errorf("parse id map: line %q: %w", line, err)
			}
			n[i] = uint32(v)
		}
		rs = append(rs, Range{n[0], n[1], n[2]})
	}
	return rs, nil
}
