package runtime

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// checkSysctl refuses parameters that don't belong to a namespace of the
// container's own: writing them would change the host.
func checkSysctl(sysctl map[string]string, n namespaces) error {
	for k := range sysctl {
		dotted := strings.ReplaceAll(k, "/", ".")
		var flag uintptr
		switch {
		case slices.Contains([]string{"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
			"kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"}, dotted),
			strings.HasPrefix(dotted, "fs.mqueue."):
			flag = unix.CLONE_NEWIPC
		case strings.HasPrefix(dotted, "net."):
			flag = unix.CLONE_NEWNET
		case dotted == "kernel.domainname":
			flag = unix.CLONE_NEWUTS
		}
		if strings.Contains(k, "..") || flag == 0 {
			return invalid("linux.sysctl %s belongs to no namespace", k)
		}
		if !n.private(flag) {
			return invalid("linux.sysctl %s: the container has no namespace of its own for it", k)
		}
	}
	return nil
}

// setSysctl writes the parameters through the host's /proc, before the root is
// changed: its files show the namespaces of whoever opens them, and no file of the
// container is involved.
func setSysctl(sysctl map[string]string) error {
	for k, v := range sysctl {
		name := k
		if !strings.Contains(k, "/") {
			name = strings.ReplaceAll(k, ".", "/")
		}
		if err := os.WriteFile("/proc/sys/"+name, []byte(v), 0o644); err != nil {
			return fmt.Errorf("set sysctl %s: %w", k, err)
		}
	}
	return nil
}

func setOOMScore(adj *int) error {
	if adj == nil {
		return nil
	}
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(*adj)), 0); err != nil {
		return fmt.Errorf("set oom_score_adj to %d (lowering it needs CAP_SYS_RESOURCE on the host): %w", *adj, err)
	}
	return nil
}
