// Package background starts this program again as a server that outlives the
// command that started it, and tells that command how the start went.
//
//	command ──Start(name, request)──► server: argv[0] = name, own session
//	   │                                │ Request, open, mount …
//	   ◄──────── Ready(err) ────────────┘
//	   returns                          serves until it is done
//
// The server has no terminal: its standard files are /dev/null, so that a pipe
// the command was given ends with the command (podman reads its mount
// program's standard error to the end).
package background

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/internal/resident"
)

// Descriptors that a server is started with, after the three standard ones.
const (
	requestFD = 3 // the request as JSON, to its end
	replyFD   = 4 // where it says how the start went
	filesFD   = 5 // the first of those handed over
)

// A Table names servers by their argv[0]. The functions return exit statuses.
type Table map[string]func(*Server) int

// A Server is the started process's side.
type Server struct{ reply *os.File }

type reply struct{ Error, Hint string }

// Main must be called at the start of main. If this process is a server it
// serves and exits; otherwise Main returns at once.
func Main(t Table) {
	serve, ok := t[os.Args[0]]
	if !ok {
		return
	}
	if err := unix.CloseRange(requestFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		fmt.Fprintf(os.Stderr, "cfs: %s: close inherited descriptors on exec: %v\n", os.Args[0], err)
		os.Exit(1)
	}
	Lean()
	os.Exit(serve(&Server{reply: os.NewFile(replyFD, "reply")}))
}

// Lean fits Go's runtime to a server: it lives long, there may be hundreds like
// it, and what it keeps is small, so garbage is collected often. Most of its
// threads sleep in system calls; where every processor (GOMAXPROCS) is held by
// one, the runtime's monitor wakes up every 20 µs to take them back, a tenth of
// all the time that the server uses (perf, two CPUs), so there are spare ones.
// A GOGC or GOMAXPROCS in the environment is obeyed instead.
func Lean() {
	spare()
	collect(leanPercent)
}

// LeanLater is Lean for a server that may be done in a moment: until [Settle] has waited,
// garbage is left where it is, up to 16 MiB of it. Collecting three times while it starts was a
// fifth of all the time that a container's monitor uses for a short command (perf).
func LeanLater() {
	spare()
	collect(startPercent)
}

func spare() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.NumCPU() + spareProcs)
	}
}

func collect(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

const (
	spareProcs = 6
	// How much the heap may grow over what is in use, in per cent; and 4 MiB for each hundred
	// are always free to be used.
	leanPercent  = 30
	startPercent = 400
)

// Request reads what the server is asked to do into v.
func (s *Server) Request(v any) error {
	f := os.NewFile(requestFD, "request")
	defer f.Close()
	if err := json.NewDecoder(f).Decode(v); err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	return nil
}

// File is the nth file that was handed over, from 0.
func (s *Server) File(n int) *os.File { return os.NewFile(uintptr(filesFD+n), "handed over") }

// Ready tells the command that the server serves, or why it can't: the
// command's Start then returns. It is called once. The parts of the program that
// starting took, more than serving ever does, are no longer resident then.
func (s *Server) Ready(err error) {
	var r reply
	if err != nil {
		r.Error, r.Hint = err.Error(), hint.Of(err)
	}
	_ = json.NewEncoder(s.reply).Encode(r) // the command may be gone; the server goes on
	s.reply.Close()
	if err == nil {
		resident.ForgetProgram()
	}
}

// Start starts the server called name and waits until it is ready. The files
// stay the caller's. With stderr the server may write there as long as it lives.
func Start(name string, request any, stderr *os.File, files ...*os.File) error {
	in, err := requestFile(request)
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	defer in.Close()
	from, to, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	defer from.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{name}
	cmd.ExtraFiles = append([]*os.File{in, to}, files...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if stderr != nil {
		cmd.Stderr = stderr
	}
	err = cmd.Start()
	to.Close()
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	var r reply
	if err := json.NewDecoder(from).Decode(&r); err != nil {
		return fmt.Errorf("%s died before it was ready: %w", name, errors.Join(cmd.Wait(), err))
	}
	if r.Error != "" {
		_ = cmd.Wait() // its status says the same
		return hint.With(errors.New(r.Error), r.Hint)
	}
	return cmd.Process.Release()
}

// requestFile is a file in memory to read the request from.
func requestFile(request any) (*os.File, error) {
	b, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("request", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "request")
	_, err = f.Write(b)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
