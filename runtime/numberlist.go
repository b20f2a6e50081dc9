package runtime

import (
	"strconv"
	"strings"
)

// parseNumbers reads a list of numbers and ranges below a limit, as 0-3,7 (cpuset(7), "List
// format"), as a mask, bit n of word n/64 for n. The empty list is nil.
func parseNumbers(list string, limit uint64) (mask []uint64, ok bool) {
	if list == "" {
		return nil, true
	}
	mask = make([]uint64, (limit+63)/64)
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err1 := strconv.ParseUint(from, 10, 16)
		last, err2 := strconv.ParseUint(to, 10, 16)
		if err1 != nil || err2 != nil || first > last || last >= limit {
			return nil, false
		}
		for n := first; n <= last; n++ {
			mask[n/64] |= 1 << (n % 64)
		}
	}
	return mask, true
}
