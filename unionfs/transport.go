package unionfs

import (
	"fmt"
	"io"
	"log"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// A Transport carries requests between the kernel and a file system.
type Transport interface {
	// Serve begins to answer on fd, a mounted /dev/fuse descriptor, which it
	// closes, also when it fails. It returns when the first request (INIT) has
	// been answered.
	Serve(fd int, fs fuse.RawFileSystem, o TransportOptions) (Session, error)
}

// TransportOptions are what a transport negotiates.
type TransportOptions struct {
	MaxWrite      int  // bytes of one READ or WRITE
	MaxBackground int  // requests that nobody waits for, at once
	Passthrough   bool // the kernel may be given descriptors to read and write
	ACL           bool // the kernel keeps POSIX ACLs and leaves the umask to the server
	Debug         io.Writer
}

// A Session is a connection being served.
type Session interface {
	// Capabilities are the FUSE_* flags of INIT that both sides agreed on.
	Capabilities() uint64
	// Ready returns when the file system mounted at target answers.
	Ready(target string) error
	// Wait returns when the kernel has ended the connection and no request is
	// being worked on.
	Wait()
}

// GoFuse is the transport of github.com/hanwen/go-fuse/v2: the reference, and
// the fallback.
type GoFuse struct{}

// wanted are the capabilities asked for on top of go-fuse's own choice
// (asynchronous reads, big writes, plain READDIRPLUS, parallel directory
// operations, more than 32 pages).
const wanted = fuse.CAP_NO_OPENDIR_SUPPORT | fuse.CAP_HANDLE_KILLPRIV_V2

// unwanted are capabilities that go-fuse would take.
const unwanted = fuse.CAP_PASSTHROUGH | fuse.CAP_ALLOW_IDMAP | fuse.CAP_ATOMIC_O_TRUNC |
	fuse.CAP_WRITEBACK_CACHE | fuse.CAP_READDIRPLUS_AUTO

// Serve implements [Transport].
func (GoFuse) Serve(fd int, fs fuse.RawFileSystem, o TransportOptions) (Session, error) {
	opts := &fuse.MountOptions{
		MaxWrite: o.MaxWrite, MaxBackground: o.MaxBackground,
		EnableSymlinkCaching: true,
		// Nothing changes behind the kernel's back: it need not drop pages when
		// a time moves.
		ExplicitDataCacheControl: true,
		ExtraCapabilities:        wanted,
		DisabledCapabilities:     unwanted,
		DisableSplice:            true, // more system calls than a read and a write, for the sizes files have
		Name:                     "cfs",
		Logger:                   log.New(io.Discard, "", 0),
	}
	if o.ACL {
		opts.ExtraCapabilities |= aclCaps
	}
	if o.Debug != nil {
		opts.Debug, opts.Logger = true, log.New(o.Debug, "", log.Lmicroseconds)
	}
	srv, err := fuse.NewServer(fs, fmt.Sprintf("/dev/fd/%d", fd), opts)
	if err != nil {
		return nil, err
	}
	s := &goFuseSession{srv: srv, extra: opts.ExtraCapabilities, done: make(chan struct{})}
	go func() {
		srv.Serve()
		close(s.done)
	}()
	return s, nil
}

type goFuseSession struct {
	srv   *fuse.Server
	extra uint64 // capabilities asked for
	done  chan struct{}
}

func (s *goFuseSession) Capabilities() uint64 {
	const chosen = fuse.CAP_ASYNC_READ | fuse.CAP_BIG_WRITES | fuse.CAP_READDIRPLUS | fuse.CAP_NO_OPEN_SUPPORT |
		fuse.CAP_PARALLEL_DIROPS | fuse.CAP_MAX_PAGES | fuse.CAP_CACHE_SYMLINKS | fuse.CAP_EXPLICIT_INVAL_DATA
	return s.srv.KernelSettings().Flags64() & (chosen | s.extra) &^ unwanted
}

func (s *goFuseSession) Wait() { <-s.done }
