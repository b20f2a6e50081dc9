package unionfs

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// maxWrite is the most that the kernel puts into one request, in bytes.
const maxWrite = 1 << 20

// Server is a mounted union. It implements [cow.Mount].
type Server struct {
	fs      *FS
	target  string
	helper  bool
	session Session
	done    chan struct{}
	mu      sync.Mutex // one Unmount at a time
}

// Mount attaches fs at target, a directory, and answers the kernel from this
// process until the mount is gone; fs is then closed. It returns when the mount
// answers. When it fails, fs is left open.
func Mount(fs *FS, target string, o MountOptions) (*Server, error) {
	if o.Source == "" {
		o.Source = "cfs"
	}
	if o.Subtype == "" {
		o.Subtype = "cfs"
	}
	if fs.upper == nil {
		o.ReadOnly = true
	}
	if o.Transport == nil {
		var err error
		if o.Transport, err = transportFromEnv(); err != nil {
			return nil, err
		}
	}
	if o.TransportOptions.MaxWrite = o.MaxWrite; o.MaxWrite <= 0 || o.MaxWrite > maxWrite {
		o.TransportOptions.MaxWrite = maxWrite
	}
	if o.MaxBackground <= 0 {
		o.MaxBackground = 128
	}
	o.ACL = (o.AllowOther || o.Permissions) && !fs.noACL()
	_, loop := o.Transport.(Loop)
	fs.killSetgid = o.ACL && loop
	target, err := filepath.Abs(target)
	if err != nil {
		return nil, err
	}
	if target, err = filepath.EvalSymlinks(target); err != nil {
		return nil, fmt.Errorf("mount: %w", err)
	}
	if err := checkPassthrough(&o); err != nil {
		return nil, err
	}
	c, err := connect(target, &o)
	if err != nil {
		return nil, err
	}
	if o.Passthrough {
		if fs.pass, err = newPassthrough(c.fd); err != nil {
			unix.Close(c.fd)
			return nil, errors.Join(fmt.Errorf("mount %s: %w", target, err), c.abandon(target))
		}
	}
	fs.rootAliased.Store(o.ACL && c.detached >= 0)
	s := &Server{fs: fs, target: target, helper: c.helper, done: make(chan struct{})}
	if s.session, err = o.Transport.Serve(c.fd, fs, o.TransportOptions); err != nil {
		return nil, errors.Join(fmt.Errorf("mount %s: %w", target, err), c.abandon(target))
	}
	if err := s.session.Ready(c.path(target)); err != nil {
		err = fmt.Errorf("mount %s: no answer: %w", target, err)
		return nil, errors.Join(err, s.abandon(c))
	}
	if c.detached >= 0 {
		if err := fs.show(c.detached, target); err != nil {
			return nil, errors.Join(err, s.abandon(c))
		}
		unix.Close(c.detached)
	}
	go func() {
		s.session.Wait()
		_ = fs.Close()
		close(s.done)
	}()
	return s, nil
}

// abandon takes a mount away that nobody is to use, and waits for its end.
func (s *Server) abandon(c connection) error {
	err := c.abandon(s.target)
	if err == nil {
		s.session.Wait()
	}
	return err
}

// Unmount detaches the mount and returns when no descriptor of it is left. It
// fails with EBUSY, wrapped, while the mount is in use; it can then be called
// again. When somebody else has unmounted, it waits for the end and succeeds.
func (s *Server) Unmount() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
		return nil
	default:
	}
	// EINVAL: not a mount point any more. Then it is somebody else's umount
	// that is being waited for.
	if err := detach(s.target, s.helper); err != nil && !isErrno(err, unix.EINVAL) {
		select {
		case <-s.done:
			return nil
		default:
			return err
		}
	}
	<-s.done
	return nil
}

// Done is closed once the mount is gone and every descriptor closed.
func (s *Server) Done() <-chan struct{} { return s.done }

// Capabilities are the flags of INIT that were agreed on with the kernel.
func (s *Server) Capabilities() uint64 { return s.session.Capabilities() }

// FS is the union that is served.
func (s *Server) FS() *FS { return s.fs }
