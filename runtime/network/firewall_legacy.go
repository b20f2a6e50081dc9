package network

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/google/nftables"
)

// legacyTables name the tables of the kernel's older firewall that are in use, which
// nftables knows nothing of.
var legacyTables = map[nftables.TableFamily]string{
	nftables.TableFamilyIPv4: "/proc/net/ip_tables_names",
	nftables.TableFamilyIPv6: "/proc/net/ip6_tables_names",
}

// passLegacy is passFirewall for the tables of iptables-legacy(8).
func passLegacy(family nftables.TableFamily) error {
	names, err := os.ReadFile(legacyTables[family])
	if err != nil || !slices.Contains(strings.Fields(string(names)), "filter") {
		return nil // a kernel without, or nobody has asked for it
	}
	program := iptables[family]
	path, err := legacyProgram(program)
	if err != nil {
		return legacyError(program, err.Error())
	}
	rules, err := exec.Command(path, "--wait", "5", "-S", "FORWARD").CombinedOutput()
	if err != nil {
		return legacyError(program, fmt.Sprintf("%v: %s", err, bytes.TrimSpace(rules)))
	}
	if !strings.HasPrefix(string(rules), "-P FORWARD DROP\n") {
		return nil
	}
	chain := "FORWARD"
	if exec.Command(path, "--wait", "5", "-S", "DOCKER-USER").Run() == nil {
		chain = "DOCKER-USER"
	}
	if err := runIptables(path, chain); err != nil {
		return legacyError(program, err.Error())
	}
	return nil
}

// legacyProgram finds the program whose tables these are: before iptables 1.8 it had
// the name alone.
func legacyProgram(program string) (string, error) {
	if path, err := exec.LookPath(program + "-legacy"); err == nil {
		return path, nil
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("%s-legacy is not installed", program)
	}
	if said, err := exec.Command(path, "--version").Output(); err != nil || bytes.Contains(said, []byte("nf_tables")) {
		return "", fmt.Errorf("%s-legacy is not installed, and %s is of nftables", program, path)
	}
	return path, nil
}

func legacyError(program, why string) error {
	return fmt.Errorf("the host's firewall, chain FORWARD of %[1]s-legacy, may drop what containers send (%[3]s): "+
		"%[1]s-legacy -I FORWARD -i %[2]s -j ACCEPT; %[1]s-legacy -I FORWARD -o %[2]s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
		program, bridgeName, why)
}
