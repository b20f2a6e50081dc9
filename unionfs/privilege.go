package unionfs

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// privilege is what this process may do.
type privilege struct {
	caps       bool // chown, ignore permissions, in its user namespace
	sysAdmin   bool // CAP_SYS_ADMIN in it
	initUserns bool // the user namespace is the host's
}

func privileges() (privilege, error) {
	var p privilege
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return p, err
	}
	has := func(c uint) bool { return data[c/32].Effective&(1<<(c%32)) != 0 }
	p.caps = has(unix.CAP_CHOWN) && has(unix.CAP_DAC_OVERRIDE) && has(unix.CAP_FOWNER) && has(unix.CAP_FSETID)
	p.sysAdmin = has(unix.CAP_SYS_ADMIN)
	m, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return p, err
	}
	f := strings.Fields(string(m))
	p.initUserns = len(f) == 3 && f[0] == "0" && f[1] == "0" && f[2] == "4294967295"
	return p, nil
}
