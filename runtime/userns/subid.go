package userns

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// subIDs reads the ranges of one user from a file in the format of subuid(5):
// "owner:first:count" a line, the owner by name or by number. A file that doesn't
// exist holds none.
func subIDs(path, name string, uid int) ([]Range, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseSubIDs(f, name, uid)
}

// parseSubIDs returns the ranges with Host and Size set. Lines that aren't well
// formed are passed over, as newuidmap does.
func parseSubIDs(r io.Reader, name string, uid int) ([]Range, error) {
	var rs []Range
	number := strconv.Itoa(uid)
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		owner, rest, ok := strings.Cut(strings.TrimSpace(sc.Text()), ":")
		if !ok || owner == "" || owner != number && owner != name {
			continue
		}
		first, count, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		lo, err1 := strconv.ParseUint(first, 10, 32)
		n, err2 := strconv.ParseUint(count, 10, 32)
		if err1 != nil || err2 != nil || n == 0 || lo+n > 1<<32-1 {
			continue
		}
		rs = append(rs, Range{Host: uint32(lo), Size: uint32(n)})
	}
	return rs, sc.Err()
}

// layOut puts the user itself at 0 and its sub-ids after it, in the file's order.
// Ranges that overlap what is already mapped are left out: the kernel refuses a
// map in which a host id comes twice.
func layOut(self uint32, subs []Range) []Range {
	rs := []Range{{Container: 0, Host: self, Size: 1}}
	next := uint32(1)
	for _, s := range subs {
		if overlaps(rs, s) || next+s.Size < next {
			continue
		}
		rs = append(rs, Range{Container: next, Host: s.Host, Size: s.Size})
		next += s.Size
	}
	return rs
}

func overlaps(rs []Range, s Range) bool {
	for _, r := range rs {
		if uint64(s.Host) < uint64(r.Host)+uint64(r.Size) && uint64(r.Host) < uint64(s.Host)+uint64(s.Size) {
			return true
		}
	}
	return false
}
