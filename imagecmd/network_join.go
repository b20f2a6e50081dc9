package imagecmd

import (
	"errors"
	"fmt"
	"os"
	"strings"
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
	if other.ID == m.c.ID {
		return nil, errors.New("container cannot join its own network")
	}
	// That it still runs when its namespace is open tells that the number was its own.
	if n.namespace, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", other.readLive().Init)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("join the network of container %s: %w", other.Label(), err)
	}
	if err != nil || !other.Running() {
		return nil, fmt.Errorf("cannot join network of a non running container: %s", other.ID)
	}
	n.joined = other
	return n, nil
}
