package dm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// A Target is the one target of a table.
type Target struct {
	Length int64 // of the device, in sectors
	Type   string
	Params string
}

// Info is what is known of a device.
type Info struct {
	Major, Minor uint32
	Open         int // how many have it open, other devices and mounts included
	ReadOnly     bool
	Deferred     bool // it goes when nobody has it open
	Suspended    bool
	HasTable     bool
}

// Path is where devtmpfs has the device.
func (i Info) Path() string { return fmt.Sprintf("/dev/dm-%d", i.Minor) }

// ErrNone is wrapped by errors of devices that are not there.
var ErrNone = unix.ENXIO

func failed(what, name string, err error) error {
	return fmt.Errorf("device mapper: %s %s: %w", what, name, err)
}

// Create makes a device without a table. The error wraps EBUSY if there is one
// with the name, or with the uuid.
func (c *Control) Create(name, uuid string) error {
	if _, err := c.call(devCreate, request{name: name, uuid: uuid}); err != nil {
		return failed("create", name, err)
	}
	return nil
}

// Load gives a device the table that it has after the next Resume.
func (c *Control) Load(name string, t Target, readOnly bool) error {
	r := request{name: name, targets: 1, payload: t.encode()}
	if readOnly {
		r.flags |= flagReadOnly
	}
	if _, err := c.call(tableLoad, r); err != nil {
		return failed("load table "+t.Type+" "+t.Params+" of", name, err)
	}
	return nil
}

// encode lays t out as struct dm_target_spec and its parameters.
func (t Target) encode() []byte {
	const specSize = 40
	size := (specSize + len(t.Params) + 1 + 7) &^ 7
	buf := make([]byte, size)
	binary.NativeEndian.PutUint64(buf[8:], uint64(t.Length))
	binary.NativeEndian.PutUint32(buf[20:], uint32(size)) // where the next one would be
	copy(buf[24:specSize-1], t.Type)
	copy(buf[specSize:], t.Params)
	return buf
}

// Suspend stops a device until Resume. What is on the way to it is waited for.
func (c *Control) Suspend(name string) error {
	if _, err := c.call(devSuspend, request{name: name, flags: flagSuspend}); err != nil {
		return failed("suspend", name, err)
	}
	return nil
}

// Resume lets a device go on, with the table that was loaded last.
func (c *Control) Resume(name string) error {
	if _, err := c.call(devSuspend, request{name: name}); err != nil {
		return failed("resume", name, err)
	}
	return nil
}

// Remove removes a device. With deferred one that somebody has open goes when the
// last closes it; without, the error wraps EBUSY. It wraps ErrNone if there is none.
func (c *Control) Remove(name string, deferred bool) error {
	r := request{name: name}
	if deferred {
		r.flags |= flagDeferred
	}
	if _, err := c.call(devRemove, r); err != nil {
		return failed("remove", name, err)
	}
	return nil
}

// Info looks at a device. The error wraps ErrNone if there is none.
func (c *Control) Info(name string) (Info, error) {
	const activePresent = 1 << 5
	r, err := c.call(devStatus, request{name: name})
	if err != nil {
		return Info{}, failed("look at", name, err)
	}
	return Info{
		Major: unix.Major(r.dev), Minor: unix.Minor(r.dev), Open: int(r.openCount), ReadOnly: r.flags&flagReadOnly != 0,
		Deferred: r.flags&flagDeferred != 0, Suspended: r.flags&flagSuspend != 0, HasTable: r.flags&activePresent != 0,
	}, nil
}

// Status is what the target of a device tells of itself. Nothing is flushed for it.
func (c *Control) Status(name string) (Target, error) { return c.table(name, flagNoFlush) }

// Table is the table that a device has.
func (c *Control) Table(name string) (Target, error) {
	return c.table(name, flagStatusTable|flagNoFlush)
}

func (c *Control) table(name string, flags uint32) (Target, error) {
	r, err := c.call(tableStatus, request{name: name, flags: flags})
	if err != nil {
		return Target{}, failed("read table of", name, err)
	}
	const specSize = 40
	if r.targets == 0 || len(r.data) < specSize {
		return Target{}, failed("read table of", name, errors.New("it has none"))
	}
	return Target{
		Length: int64(binary.NativeEndian.Uint64(r.data[8:])),
		Type:   unix.ByteSliceToString(r.data[24:specSize]),
		Params: strings.TrimSpace(unix.ByteSliceToString(r.data[specSize:])),
	}, nil
}

// Message tells the target of a device something.
func (c *Control) Message(name, message string) error {
	payload := append(make([]byte, 8), message...) // struct dm_target_msg: sector 0
	if _, err := c.call(targetMsg, request{name: name, payload: append(payload, 0)}); err != nil {
		return failed("message "+message+" to", name, err)
	}
	return nil
}

// HasTarget tells whether the kernel has a kind of target; it loads the module.
func (c *Control) HasTarget(name string) (bool, error) {
	_, err := c.call(getTargetVersion, request{name: name})
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.EINVAL):
		return false, nil
	case errors.Is(err, unix.ENOTTY): // before Linux 5.4 only loading a table tells
		return true, nil
	}
	return false, failed("look for target", name, err)
}

// List names the devices whose names begin with prefix.
func (c *Control) List(prefix string) ([]string, error) {
	r, err := c.call(listDevices, request{})
	if err != nil {
		return nil, failed("list", "devices", err)
	}
	return names(r.data, prefix)
}

// names reads struct dm_name_list: dev, the offset of the next one or 0, a name.
func names(data []byte, prefix string) ([]string, error) {
	var out []string
	for len(data) > 12 {
		next := binary.NativeEndian.Uint32(data[8:])
		name, _, ok := bytes.Cut(data[12:], []byte{0})
		if !ok || int64(next) > int64(len(data)) {
			return nil, errors.New("device mapper: the list of devices is cut")
		}
		if len(name) > 0 && bytes.HasPrefix(name, []byte(prefix)) {
			out = append(out, string(name))
		}
		if next == 0 {
			break
		}
		data = data[next:]
	}
	return out, nil
}
