package dm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/kernel-drivers/internal/sys"
)

// Sector is the unit of sizes and offsets in tables, in bytes.
const Sector = 512

// ControlPath is the device that all requests go to.
const ControlPath = "/dev/mapper/control"

// Where things are in struct dm_ioctl, and its size.
const (
	atDataSize  = 12
	atDataStart = 16
	atTargets   = 20
	atOpenCount = 24
	atFlags     = 28
	atDev       = 40
	atName      = 48
	atUUID      = 176
	nameSize    = 128 // with the NUL
	uuidSize    = 129
	headerSize  = 312
)

// Commands.
const (
	listDevices      = 2
	devCreate        = 3
	devRemove        = 4
	devSuspend       = 6 // and resume
	devStatus        = 7
	tableLoad        = 9
	tableStatus      = 12
	targetMsg        = 14
	getTargetVersion = 17
)

// Flags.
const (
	flagReadOnly    = 1 << 0
	flagSuspend     = 1 << 1
	flagStatusTable = 1 << 4
	flagBufferFull  = 1 << 8
	flagNoFlush     = 1 << 11
	flagDeferred    = 1 << 17
)

// A Control is the open control device.
type Control struct{ f *os.File }

// Open opens the control device. Where the device mapper is a module, this loads it.
func Open() (*Control, error) {
	f, err := os.OpenFile(ControlPath, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &Control{f: f}, nil
}

// Close gives up the control device. Devices stay.
func (c *Control) Close() error { return c.f.Close() }

// A request is struct dm_ioctl before a call, and a reply after it.
type request struct {
	name, uuid string
	flags      uint32
	targets    uint32
	payload    []byte
}

type reply struct {
	flags     uint32
	openCount int32
	dev       uint64
	targets   uint32
	data      []byte
}

// version is the oldest interface that has what is asked for here: deferred removal
// came with 4.27, in Linux 3.13.
var version = [3]uint32{4, 27, 0}

// encode lays r out with room bytes for what is returned.
func (r request) encode(room int) ([]byte, error) {
	if len(r.name) >= nameSize || len(r.uuid) >= uuidSize {
		return nil, unix.ENAMETOOLONG
	}
	buf := make([]byte, headerSize+max(len(r.payload), room))
	for i, v := range version {
		binary.NativeEndian.PutUint32(buf[4*i:], v)
	}
	binary.NativeEndian.PutUint32(buf[atDataSize:], uint32(len(buf)))
	binary.NativeEndian.PutUint32(buf[atDataStart:], headerSize)
	binary.NativeEndian.PutUint32(buf[atTargets:], r.targets)
	binary.NativeEndian.PutUint32(buf[atFlags:], r.flags)
	copy(buf[atName:], r.name)
	copy(buf[atUUID:], r.uuid)
	copy(buf[headerSize:], r.payload)
	return buf, nil
}

// decode reads what the kernel made of buf.
func decode(buf []byte) (reply, error) {
	start, end := binary.NativeEndian.Uint32(buf[atDataStart:]), binary.NativeEndian.Uint32(buf[atDataSize:])
	r := reply{
		flags:     binary.NativeEndian.Uint32(buf[atFlags:]),
		openCount: int32(binary.NativeEndian.Uint32(buf[atOpenCount:])),
		dev:       binary.NativeEndian.Uint64(buf[atDev:]),
		targets:   binary.NativeEndian.Uint32(buf[atTargets:]),
	}
	switch {
	case r.flags&flagBufferFull != 0, int64(end) < int64(start): // nothing is returned
	case int64(end) > int64(len(buf)):
		return r, fmt.Errorf("data end at byte %d of %d", end, len(buf))
	default:
		r.data = buf[start:end]
	}
	return r, nil
}

// call does one request, with as much room for what is returned as it takes.
func (c *Control) call(cmd uintptr, r request) (reply, error) {
	for room := 4 << 10; ; room *= 4 {
		buf, err := r.encode(room)
		if err != nil {
			return reply{}, err
		}
		const dir, group = 3, 0xfd // _IOWR, DM_IOCTL
		req := uintptr(dir<<30 | headerSize<<16 | group<<8 | int(cmd))
		if err := sys.Ioctl(int(c.f.Fd()), req, unsafe.Pointer(&buf[0])); err != nil {
			return reply{}, err
		}
		out, err := decode(buf)
		if err != nil || out.flags&flagBufferFull == 0 {
			return out, err
		}
		if room > 16<<20 {
			return out, errors.New("the device mapper returns more than fits")
		}
	}
}
