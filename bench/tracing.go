package bench

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// tracefs is where the kernel's documentation has it (trace/ftrace.rst).
const tracefs = "/sys/kernel/tracing"

// traceBuffer is the size of the trace's buffer in KiB a CPU: 600,000 requests.
const traceBuffer = "32768"

// Requests counts what the kernel sends to one FUSE server, by opcode, with the
// tracepoint fuse_request_send in a trace instance of its own. The server is
// neither asked nor trusted. It slows what is counted, so nothing is timed then.
type Requests struct{ dir string }

// CountRequests begins to count for what is mounted at root. It fails where the
// kernel has no such tracepoint (before Linux 6.12, or without CONFIG_TRACING).
func CountRequests(root string) (_ *Requests, err error) {
	var st unix.Stat_t
	if err := unix.Stat(root, &st); err != nil {
		return nil, err
	}
	instances := filepath.Join(tracefs, "instances")
	if _, err := os.Stat(instances); err != nil { // the namespace is our own
		if err := unix.Mount("tracefs", tracefs, "tracefs", 0, ""); err != nil {
			return nil, fmt.Errorf("mount tracefs: %w", err)
		}
	}
	r := &Requests{}
	if r.dir, err = os.MkdirTemp(instances, "cfs-bench-"); err != nil {
		return nil, err
	}
	// The kernel's own dev_t in the event: 12 bits major, 20 bits minor.
	connection := uint64(unix.Major(st.Dev))<<20 | uint64(unix.Minor(st.Dev))
	for _, w := range [][2]string{
		{"buffer_size_kb", traceBuffer},
		{"events/fuse/fuse_request_send/filter", fmt.Sprintf("connection == %d", connection)},
		{"events/fuse/fuse_request_send/enable", "1"},
	} {
		if err := os.WriteFile(filepath.Join(r.dir, w[0]), []byte(w[1]), 0); err != nil {
			return nil, errors.Join(err, os.Remove(r.dir))
		}
	}
	return r, nil
}

// Stop ends the count and gives it, by opcodes of linux/fuse.h without "FUSE_".
func (r *Requests) Stop() (_ map[string]int64, err error) {
	defer func() { err = errors.Join(err, os.Remove(r.dir)) }()
	if err := os.WriteFile(filepath.Join(r.dir, "events/fuse/fuse_request_send/enable"), []byte("0"), 0); err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(r.dir, "trace"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m := map[string]int64{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if s := lines.Text(); strings.HasPrefix(s, "# entries-in-buffer/entries-written:") {
			if err := allKept(s); err != nil {
				return nil, err
			}
		} else if _, s, ok := strings.Cut(s, "(FUSE_"); ok {
			op, _, _ := strings.Cut(s, ")")
			m[op]++
		}
	}
	return m, lines.Err()
}

// allKept reads "# entries-in-buffer/entries-written: 12/12   #P:2".
func allKept(header string) error {
	_, s, _ := strings.Cut(header, ": ")
	counts, _, _ := strings.Cut(s, " ")
	kept, written, _ := strings.Cut(counts, "/")
	k, err1 := strconv.Atoi(kept)
	w, err2 := strconv.Atoi(written)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("read the trace's header: %w", err)
	}
	if k != w {
		return fmt.Errorf("the trace kept %d of %d requests", k, w)
	}
	return nil
}
