package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// dockerRunFlags are all of `docker run --help` of Docker 27, but for help, and what it
// hides.
var dockerRunFlags = strings.Fields(`
	add-host annotation attach cap-add cap-drop cidfile cpu-count cpu-percent cpu-rt-period cpu-rt-runtime detach detach-keys device
	disable-content-trust dns dns-opt dns-option dns-search domainname entrypoint env env-file gpus group-add hostname init interactive
	io-maxbandwidth io-maxiops ip ip6 ipc isolation kernel-memory label label-file link link-local-ip log-driver log-opt mac-address mount name network network-alias
	oom-score-adj pid platform privileged pull quiet read-only rm runtime security-opt shm-size sig-proxy stop-signal stop-timeout
	storage-opt sysctl tmpfs tty ulimit user userns uts volume volume-driver volumes-from workdir`)

// TestRunFlags finds every flag of Docker's run: it works, or is refused by name.
func TestRunFlags(t *testing.T) {
	term := &terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	for _, cmd := range []*cobra.Command{newRun(term, &globals{}), newCreate(term, &globals{})} {
		f := cmd.Flags()
		for _, name := range dockerRunFlags {
			flag := f.Lookup(name)
			if flag == nil {
				if name != "detach" || cmd.Name() != "create" {
					t.Errorf("cfs %s does not know --%s", cmd.Name(), name)
				}
				continue
			}
			if _, refused := refusedFlags[name]; !refused {
				continue
			}
			if err := flag.Value.Set("x"); err == nil || !strings.HasPrefix(err.Error(), "not supported: ") {
				t.Errorf("cfs %s --%s x: %v", cmd.Name(), name, err)
			}
		}
		for short, name := range map[string]string{
			"a": "attach", "e": "env", "h": "hostname", "i": "interactive", "l": "label", "q": "quiet", "t": "tty", "u": "user", "v": "volume", "w": "workdir",
		} {
			if flag := f.ShorthandLookup(short); flag == nil || flag.Name != name {
				t.Errorf("cfs %s -%s is not --%s", cmd.Name(), short, name)
			}
		}
	}
}
