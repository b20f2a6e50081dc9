package unionfs

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// servedVar is set for a child process that serves a union for a benchmark: its
// clients must not share a process, and Go's scheduler, with the server.
const servedVar = "CFS_TEST_SERVED"

// serveForBenchmark is that child: it mounts what the variable says, answers each
// line of its input with the CPU time it has used, in ns, and unmounts at the end.
func serveForBenchmark(said string) error {
	spec := strings.Split(said, "|")
	tr, err := TransportByName(spec[0])
	if err != nil {
		return err
	}
	if l, ok := tr.(Loop); ok {
		if l.Spin, err = time.ParseDuration(spec[1]); err != nil {
			return err
		}
		tr = l
	}
	fs, err := New(Options{LowerDirs: []string{spec[2]}, Upper: filepath.Join(spec[3], "up"), Work: filepath.Join(spec[3], "work")})
	if err != nil {
		return err
	}
	srv, err := Mount(fs, spec[4], MountOptions{AllowOther: true, Transport: tr})
	if err != nil {
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Printf("cpu %d\n", cpuTime())
	}
	return srv.Unmount()
}

func cpuTime() int64 {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return r.Utime.Nano() + r.Stime.Nano()
}

// served is a union in a process of its own.
type served struct {
	dir    string
	ask    io.WriteCloser
	answer *bufio.Scanner
}

func startServed(b *testing.B, transport, spin string) *served {
	b.Helper()
	needMount(b)
	low, up, mnt := scratch(b), scratch(b), b.TempDir()
	mkdirs(b, filepath.Join(up, "up"), filepath.Join(up, "work"))
	f, err := os.Create(filepath.Join(low, "data"))
	must(b, err)
	must(b, f.Truncate(64<<20))
	must(b, f.Close())
	for i := range 2000 {
		must(b, os.WriteFile(filepath.Join(low, fmt.Sprint("f", i)), nil, 0o644))
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), servedVar+"="+strings.Join([]string{transport, spin, low, up, mnt}, "|"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(b, err)
	out, err := cmd.StdoutPipe()
	must(b, err)
	must(b, cmd.Start())
	b.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	s := &served{dir: mnt, ask: in, answer: bufio.NewScanner(out)}
	s.cpu(b)
	return s
}

// cpu is the CPU time of the server so far, in ns.
func (s *served) cpu(b *testing.B) int64 {
	b.Helper()
	if _, err := io.WriteString(s.ask, "\n"); err != nil {
		b.Fatal(err)
	}
	for s.answer.Scan() {
		if v, ok := strings.CutPrefix(s.answer.Text(), "cpu "); ok {
			n, err := strconv.ParseInt(v, 10, 64)
			must(b, err)
			return n
		}
	}
	b.Fatal("the server is gone")
	return 0
}

// A load is one client's work, n times over.
type load struct {
	name    string
	clients int
	run     func(dir string, client, n int) error
}

// getattr asks past the kernel's cache, as a file that changes elsewhere would
// have to be asked for.
func getattr(dir string, client, n int) error {
	fd, err := unix.Open(filepath.Join(dir, fmt.Sprint("f", client)), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Statx_t
	for range n {
		if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_FORCE_SYNC, unix.STATX_BASIC_STATS, &st); err != nil {
			return err
		}
	}
	return nil
}

// lookup looks names up that aren't there, each a new one.
func lookup(dir string, client, n int) error {
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	var st unix.Stat_t
	run := time.Now().UnixNano()
	for i := range n {
		if err := unix.Fstatat(root, fmt.Sprintf("none-%d-%d-%d", run, client, i), &st, 0); err != unix.ENOENT {
			return fmt.Errorf("lookup: %v", err)
		}
	}
	return nil
}

// reads reads blocks that the kernel has dropped from its cache, by O_DIRECT.
func reads(size int) func(string, int, int) error {
	return func(dir string, client, n int) error {
		fd, err := unix.Open(filepath.Join(dir, "data"), unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		buf, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			return err
		}
		defer unix.Munmap(buf)
		for i := range n {
			off := int64(i) * int64(size) % (64 << 20)
			if _, err := unix.Pread(fd, buf, off); err != nil {
				return err
			}
		}
		return nil
	}
}

// create makes, writes and closes small files, and removes them.
func create(dir string, client, n int) error {
	data := make([]byte, 1000)
	for i := range n {
		name := filepath.Join(dir, fmt.Sprintf("new-%d-%d", client, i&255))
		fd, err := unix.Open(name, unix.O_CREAT|unix.O_WRONLY|unix.O_EXCL|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return err
		}
		_, err = unix.Write(fd, data)
		unix.Close(fd)
		if err == nil {
			err = unix.Unlink(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkTransport compares the transports, alternating: time and CPU time of
// the server and of the clients for each operation. CFS_BENCH_SPIN, a list of
// durations, has the loop measured with each.
func BenchmarkTransport(b *testing.B) {
	type contestant struct{ name, transport, spin string }
	all := []contestant{{"gofuse", "gofuse", "0s"}, {"loop", "loop", "0s"}}
	if v := os.Getenv("CFS_BENCH_SPIN"); v != "" {
		all = all[:1]
		for _, spin := range strings.Split(v, ",") {
			all = append(all, contestant{"loop-" + spin, "loop", spin})
		}
	}
	for _, l := range []load{
		{"getattr", 1, getattr}, {"getattr", 4, getattr},
		{"lookup", 1, lookup},
		{"read4K", 1, reads(4 << 10)}, {"read128K", 1, reads(128 << 10)}, {"read1M", 1, reads(1 << 20)}, {"read1M", 2, reads(1 << 20)},
		{"create", 1, create}, {"create", 2, create},
	} {
		for _, c := range all {
			b.Run(fmt.Sprintf("%s/clients=%d/%s", l.name, l.clients, c.name), func(b *testing.B) { l.bench(b, c.transport, c.spin) })
		}
	}
}

func (l load) bench(b *testing.B, transport, spin string) {
	s := startServed(b, transport, spin)
	must(b, l.run(s.dir, 0, 100)) // what is asked for once only
	server, client := s.cpu(b), cpuTime()
	var wg sync.WaitGroup
	errs := make([]error, l.clients)
	b.ResetTimer()
	for c := range l.clients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			errs[c] = l.run(s.dir, c, (b.N+l.clients-1)/l.clients)
		}()
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(s.cpu(b)-server)/float64(b.N), "server-cpu-ns/op")
	b.ReportMetric(float64(cpuTime()-client)/float64(b.N), "client-cpu-ns/op")
	for _, err := range errs {
		must(b, err)
	}
}
