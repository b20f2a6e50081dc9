package imagecmd

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

// networkOf resolves the container whose network is to be joined, to its ID.
func (cs Containers) networkOf(mode string) (string, error) {
	name, ok := strings.CutPrefix(mode, networkContainer)
	if !ok {
		return mode, nil
	}
	c, err := cs.Find(name)
	if err != nil {
		return "", err
	}
	return networkContainer + c.ID, nil
}

// openNetwork prepares the network of a container that is being started: the
// namespace of another one is held from now on, if that is whose it gets.
func (m *monitor) openNetwork() (*connection, error) {
	n := &connection{c: m.c}
	id, ok := strings.CutPrefix(m.c.Options.Network, networkContainer)
	if !ok {
		return n, nil
	}
	other, err := OpenContainers(m.req.Root).Find(id)
	if err != nil {
		return nil, err
	}
	n.joined = other
	n.namespace, err = other.openNamespace("net")
	return n, err
}

// openNamespace opens a namespace of a container that runs, to be joined.
func (c *Container) openNamespace(kind string) (*os.File, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", c.readLive().Init, kind))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("join the network of container %s: %w", c.Label(), err)
	}
	// That the container runs when the file is open tells that the process id was its own.
	if err != nil || !c.Running() {
		if f != nil {
			f.Close()
		}
		return nil, fmt.Errorf("cannot join network of a non running container: %s", c.ID)
	}
	return f, nil
}

// startMonitor starts the container's monitor: one of an ordinary user, which is to join
// a network, in the user namespace that the network belongs to.
func (c *Container) startMonitor(m userns.Mapping, root string, payload []byte, io stage.Stdio) (*stage.Process, error) {
	id, ok := strings.CutPrefix(c.Options.Network, networkContainer)
	if !ok || m.Privileged() {
		return stage.Start(m, monitorStage, payload, io)
	}
	other, err := OpenContainers(root).Find(id)
	if err != nil {
		return nil, err
	}
	user, err := other.openNamespace("user")
	if err != nil {
		return nil, err
	}
	defer user.Close()
	return stage.StartIn(user, monitorStage, payload, io)
}
