package imagecmd

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// containerLive is the file by which others find what lives in a container. It
// is of no worth once nobody holds the container's lock, and so is not synced.
const containerLive = "live.json"

// live is what a running container's monitor tells others.
type live struct {
	Driver string // that has its root mounted
	Init   int    // process id of its process 1, as the monitor's pid namespace has it
	// Server serves the mount of a container that `cfs mount` made; its process id.
	Server int `json:",omitempty"`
	// Network is nil where the container's network is not its own, or only a loopback interface.
	Network *liveNetwork `json:",omitempty"`
}

// writeLive says what runs. That nobody can pause or read a container whose file
// could not be written is no reason to end it.
func (c *Container) writeLive(l live) {
	if b, err := json.Marshal(l); err == nil {
		_ = os.WriteFile(filepath.Join(c.dir, containerLive), b, 0o600)
	}
}

// readLive is zero for a container that has no process yet.
func (c *Container) readLive() live {
	var l live
	if err := readJSON(filepath.Join(c.dir, containerLive), &l); err != nil {
		return live{}
	}
	return l
}
