package unionfs

import (
	"fmt"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// The protocol's version: 7.23 brought RENAME2 and the reply to INIT that is
// sent here, 7.40 is what the structures were compared with.
const (
	protoMajor    = 7
	protoMinorMin = 23
	protoMinorMax = 40
)

// loopWanted are the capabilities that [Loop] takes where the kernel offers them.
const loopWanted = fuse.CAP_ASYNC_READ | fuse.CAP_BIG_WRITES | fuse.CAP_READDIRPLUS | fuse.CAP_ASYNC_DIO |
	fuse.CAP_NO_OPEN_SUPPORT | fuse.CAP_NO_OPENDIR_SUPPORT | fuse.CAP_PARALLEL_DIROPS | fuse.CAP_MAX_PAGES |
	fuse.CAP_CACHE_SYMLINKS | fuse.CAP_EXPLICIT_INVAL_DATA | fuse.CAP_HANDLE_KILLPRIV_V2 | fuse.CAP_INIT_EXT

// negotiate reads INIT, the first request of a connection, and answers it. It
// returns the flags that both sides agreed on.
func negotiate(fd int, o TransportOptions) (uint64, error) {
	// 8 KiB is the least that the kernel writes to. uint64: aligned.
	buf := make([]uint64, 1024)
	msg := unsafe.Slice((*byte)(unsafe.Pointer(&buf[0])), len(buf)*8)
	for {
		var n int
		err := eintr(func() (err error) {
			n, err = unix.Read(fd, msg)
			return err
		})
		if err == unix.ENOENT { // taken back while it was read
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("fuse: read INIT: %w", err)
		}
		var in fuse.InitIn
		h, whole := header(msg[:n])
		if h == nil || h.Opcode != opInit || len(whole) < inHeaderSize+16 {
			return 0, fmt.Errorf("fuse: the first request is not INIT: %w", unix.EPROTO)
		}
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&in)), unsafe.Sizeof(in)), whole)
		out, err := initReply(&in, o)
		// Even what is refused is answered: the mount then fails at once.
		if werr := sendInit(fd, h.Unique, out, err); werr != nil {
			return 0, fmt.Errorf("fuse: answer INIT: %w", werr)
		}
		if err != nil {
			return 0, err
		}
		if in.Major == protoMajor {
			return out.Flags64() &^ fuse.CAP_INIT_EXT, nil
		}
		// A newer kernel asks again, in our version.
	}
}

func initReply(in *fuse.InitIn, o TransportOptions) (*fuse.InitOut, error) {
	if in.Major > protoMajor {
		return &fuse.InitOut{Major: protoMajor, Minor: protoMinorMax}, nil
	}
	if in.Major < protoMajor || in.Minor < protoMinorMin {
		return nil, fmt.Errorf("fuse: the kernel speaks version %d.%d, and 7.%d is needed: %w", in.Major, in.Minor, protoMinorMin, unix.EPROTO)
	}
	offered := uint64(in.Flags)
	if offered&fuse.CAP_INIT_EXT != 0 {
		offered = in.Flags64()
	}
	flags := offered & loopWanted
	if o.ACL {
		flags |= offered & (aclCaps | fuse.CAP_SETXATTR_EXT)
	}
	depth := uint32(0)
	if o.Passthrough {
		if offered&fuse.CAP_PASSTHROUGH == 0 {
			return nil, errNoPassthrough
		}
		flags |= fuse.CAP_PASSTHROUGH
		depth = backingDepth
	}
	background := uint16(min(o.MaxBackground, 1<<16-1))
	return &fuse.InitOut{
		Major: protoMajor, Minor: min(in.Minor, protoMinorMax),
		MaxReadAhead:        in.MaxReadAhead,
		Flags:               uint32(flags),
		Flags2:              uint32(flags >> 32),
		MaxBackground:       background,
		CongestionThreshold: uint16(uint32(background) * 3 / 4),
		MaxWrite:            uint32(o.MaxWrite),
		MaxPages:            uint16((o.MaxWrite + pageSize - 1) / pageSize),
		TimeGran:            1, // nanosecond
		MaxStackDepth:       depth,
	}, nil
}

func sendInit(fd int, unique uint64, out *fuse.InitOut, err error) error {
	var reply struct {
		fuse.OutHeader
		fuse.InitOut
	}
	size := outHeaderSize
	if err == nil {
		reply.InitOut = *out
		size = int(unsafe.Sizeof(reply))
	} else {
		reply.Status = -int32(status(err))
	}
	reply.Length, reply.Unique = uint32(size), unique
	return eintr(func() error {
		_, err := unix.Write(fd, unsafe.Slice((*byte)(unsafe.Pointer(&reply)), size))
		return err
	})
}
