package userns

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Problem is something the host lacks, and what a person can do about it.
type Problem struct {
	What string // e.g. "user alice has no sub-uids"
	Hint string // one sentence; may be empty
	// Fatal tells that no namespace can be made at all; otherwise it is only a
	// smaller one.
	Fatal bool
}

func (p Problem) Error() string { return p.What }

// Detect finds the best mapping this process may use, by looking only (files
// in /etc and /proc, this process's capabilities): it costs microseconds. What
// the kernel then really allows is known once [Mapping.Start] was called.
func Detect() (Mapping, []Problem) { return detect("/") }

// detect is Detect with the host's files below root.
func detect(root string) (Mapping, []Problem) {
	if haveSysAdmin() {
		return Mapping{}, nil
	}
	ps := forbidden(root)
	uid, gid := os.Getuid(), os.Getgid()
	name := userName(root+"etc/passwd", uid)
	m := Mapping{
		UID: []Range{{0, uint32(uid), 1}},
		GID: []Range{{0, uint32(gid), 1}},
	}

	who := name
	if who == "" {
		who = strconv.Itoa(uid)
	}
	var missing []string
	var ranges [2][]Range
	for i, kind := range []string{"uid", "gid"} {
		r, err := subIDs(root+"etc/sub"+kind, name, uid)
		if err != nil {
			ps = append(ps, Problem{What: fmt.Sprintf("sub-%ss can't be read: %v", kind, err)})
		} else if len(r) == 0 {
			missing = append(missing, "sub-"+kind+"s")
		}
		ranges[i] = r
	}
	if len(missing) > 0 {
		ps = append(ps, Problem{
			What: fmt.Sprintf("user %s has no %s: a container has only one uid and gid", who, strings.Join(missing, " and no ")),
			Hint: fmt.Sprintf("as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %s", who),
		})
	}
	if len(ranges[0]) == 0 || len(ranges[1]) == 0 {
		return m, ps
	}
	uh, p1 := helper("newuidmap", unix.CAP_SETUID)
	gh, p2 := helper("newgidmap", unix.CAP_SETGID)
	if p1 != nil || p2 != nil {
		for _, p := range []*Problem{p1, p2} {
			if p != nil {
				ps = append(ps, *p)
			}
		}
		return m, ps
	}
	return Mapping{
		UID:       layOut(uint32(uid), ranges[0]),
		GID:       layOut(uint32(gid), ranges[1]),
		UIDHelper: uh, GIDHelper: gh,
	}, ps
}

// forbidden looks at the switches by which a host forbids user namespaces.
func forbidden(root string) []Problem {
	var ps []Problem
	value := func(name string) string {
		b, err := os.ReadFile(root + "proc/sys/" + name)
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(b))
	}
	if value("user/max_user_namespaces") == "0" {
		ps = append(ps, Problem{"user namespaces are switched off (user.max_user_namespaces=0)",
			"as root: sysctl user.max_user_namespaces=15000", true})
	}
	if value("kernel/unprivileged_userns_clone") == "0" {
		ps = append(ps, Problem{"user namespaces are for root only (kernel.unprivileged_userns_clone=0)",
			"as root: sysctl kernel.unprivileged_userns_clone=1", true})
	}
	if value("kernel/apparmor_restrict_unprivileged_userns") == "1" {
		ps = append(ps, Problem{"AppArmor may take away the capabilities of new user namespaces",
			"as root: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with `userns,` for this program", false})
	}
	return ps
}

// helper finds a program that must have the right to write id maps, either by
// being setuid root or by file capabilities.
func helper(name string, capability uint) (string, *Problem) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", &Problem{What: name + " is not installed: the user's sub-ids can't be used",
			Hint: "install the package uidmap (Debian, Ubuntu) or shadow-utils (Fedora, Arch)"}
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", &Problem{What: fmt.Sprintf("%s: %v", path, err)}
	}
	if st.Mode&unix.S_ISUID != 0 && st.Uid == 0 {
		return path, nil
	}
	// struct vfs_cap_data: magic, then permitted and inheritable words.
	var x [24]byte
	n, err := unix.Getxattr(path, "security.capability", x[:])
	if err == nil && n >= 8 {
		permitted := uint32(x[4]) | uint32(x[5])<<8 | uint32(x[6])<<16 | uint32(x[7])<<24
		if permitted&(1<<capability) != 0 {
			return path, nil
		}
	}
	return "", &Problem{What: path + " is neither setuid root nor has it file capabilities: the user's sub-ids can't be used",
		Hint: "as root: chmod u+s " + path}
}

// haveSysAdmin tells whether CAP_SYS_ADMIN is effective.
func haveSysAdmin() bool { return haveCapability(unix.CAP_SYS_ADMIN) }

// haveCapability tells whether a capability, of the first 32, is effective.
func haveCapability(c uint) bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<c) != 0
}

// userName is the name of uid in a passwd(5) file, or "".
func userName(path string, uid int) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	number := strconv.Itoa(uid)
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if f := strings.Split(sc.Text(), ":"); len(f) > 2 && f[2] == number {
			return f[0]
		}
	}
	return ""
}
