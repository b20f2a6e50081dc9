package cgroup

import (
	"fmt"
	"os"
	"path/filepath"

	devices "github.com/opencontainers/cgroups/devices/config"
)

// setDevices writes the rules to a group of the hierarchy "devices", in their order
// (config-linux.md, "Allowed Device list"). The library keeps to what they mean together,
// which is more than a new group needs, and sorts them. In the unified hierarchy a program
// stands for all of them, which is the library's.
func (g *Group) setDevices() error {
	dir := g.m.Path("devices")
	if dir == "" {
		return nil
	}
	for _, r := range g.r.Devices {
		file := "devices.deny"
		if r.Allow {
			file = "devices.allow"
		}
		rule := r.CgroupString()
		if r.Type == devices.WildcardDevice {
			rule = "a"
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(rule), 0); err != nil {
			return fmt.Errorf("device rule %q: %w", rule, err)
		}
	}
	return nil
}
