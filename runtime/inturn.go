package runtime

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Since Linux 6.8 /proc/PID/mountinfo is in the order in which mounts were made and not
// attached, and the specification has mounts made in the order listed (config.md, "Mounts").
// So where others are to find them in that order, the creator makes the tree of a bind
// mount, opened and checked before, once more when its turn comes.

// tree is the tree of a bind mount, in init.
func (i *initProc) tree(m mountConfig) (int, error) {
	if i.config.Wait == nil {
		return i.fds[m.Tree], nil
	}
	if err := i.sock.send(msgTree, binary.LittleEndian.AppendUint32(nil, uint32(m.Tree)), nil); err != nil {
		return -1, fmt.Errorf("ask for the tree: %w", err)
	}
	kind, _, fds, err := i.sock.receive()
	if err != nil {
		return -1, fmt.Errorf("ask for the tree: %w", err)
	}
	if kind != msgTree || len(fds) != 1 {
		return -1, fmt.Errorf("ask for the tree: unexpected message %q", kind)
	}
	return fds[0], nil
}

// sendTree answers init.
func (s *setup) sendTree(sock socket, body []byte) error {
	if len(body) != 4 {
		return fmt.Errorf("tree: a message of %d bytes", len(body))
	}
	index := int(binary.LittleEndian.Uint32(body))
	for _, m := range s.config.Mounts {
		if m.Tree != index || index >= len(s.fds) {
			continue
		}
		tree := s.fds[index]
		again, err := unix.OpenTree(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err == nil { // before Linux 6.15 a detached tree can't be copied: it is as good
			defer unix.Close(again)
			tree = again
		}
		propagation := mountOptions{Propagation: m.Options.Propagation, RecPropagation: m.Options.RecPropagation}
		if err := propagation.setAttrs(tree); err != nil {
			return fmt.Errorf("bind %s: set propagation: %w", m.Source, err)
		}
		return sock.send(msgTree, nil, []int{tree})
	}
	return fmt.Errorf("tree: there is none with number %d", index)
}
