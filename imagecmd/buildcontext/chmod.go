package buildcontext

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	mode "github.com/tonistiigi/dchapes-mode"
	"golang.org/x/sys/unix"
)

// A chmod is a --chmod. The zero value keeps modes.
type chmod struct {
	octal  bool
	bits   uint32 // of an octal one
	symbol *mode.Set
}

// parseChmod reads octal digits up to 07777, or what chmod(1) calls symbolic, as
// BuildKit does.
func parseChmod(s string) (chmod, error) {
	if s == "" {
		return chmod{}, nil
	}
	bad := fmt.Errorf("invalid chmod parameter: '%v'. it should be octal string and between 0 and 07777", s)
	if n, err := strconv.ParseUint(s, 8, 32); err == nil {
		if n > 0o7777 {
			return chmod{}, bad
		}
		return chmod{octal: true, bits: uint32(n)}, nil
	}
	set, err := mode.ParseWithUmask(s, 0)
	if _, number := errors.AsType[*strconv.NumError](err); number {
		return chmod{}, bad
	}
	if err != nil {
		return chmod{}, fmt.Errorf("invalid chmod parameter: '%v': %w", s, err)
	}
	return chmod{symbol: &set}, nil
}

// apply is st_mode m after the change. Symbolic links have none.
func (c chmod) apply(m uint32) uint32 {
	typ := m & unix.S_IFMT
	switch {
	case typ == unix.S_IFLNK:
		return m
	case c.octal:
		return typ | c.bits
	case c.symbol != nil:
		return typ | fromFileMode(c.symbol.Apply(toFileMode(m)))
	}
	return m
}

// parents is the mode of directories that have to be made: an octal one's permissions.
func (c chmod) parents() uint32 {
	if c.octal {
		return unix.S_IFDIR | c.bits&0o777
	}
	return unix.S_IFDIR | 0o755
}

// modeBits are the three bits that have no place in the nine of fs.FileMode.
var modeBits = []struct {
	unix uint32
	file fs.FileMode
}{{unix.S_ISUID, fs.ModeSetuid}, {unix.S_ISGID, fs.ModeSetgid}, {unix.S_ISVTX, fs.ModeSticky}}

func toFileMode(m uint32) fs.FileMode {
	f := fs.FileMode(m & 0o777)
	for _, b := range modeBits {
		if m&b.unix != 0 {
			f |= b.file
		}
	}
	if m&unix.S_IFMT == unix.S_IFDIR {
		f |= fs.ModeDir
	}
	return f
}

func fromFileMode(f fs.FileMode) uint32 {
	m := uint32(f.Perm())
	for _, b := range modeBits {
		if f&b.file != 0 {
			m |= b.unix
		}
	}
	return m
}
