package apart

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const childEnv = "CFS_TEST_APART"

func TestMain(m *testing.M) {
	if at := os.Getenv(childEnv); at != "" {
		if err := deaf(at); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// deaf mounts a filesystem at a directory, looks into it, and answers nothing but the
// kernel's greeting. It says so once it has read the question.
func deaf(at string) error {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)
	if err := unix.Mount("apart", at, "fuse", 0, options); err != nil {
		return err
	}
	go func() {
		_ = Do(func() error { return unix.Access(at+"/x", unix.F_OK) })
	}()
	buf := make([]byte, 1<<20)
	for {
		n, err := unix.Read(fd, buf)
		if err != nil {
			return err
		}
		if opcode := binary.NativeEndian.Uint32(buf[4:]); opcode != 26 { // FUSE_INIT
			fmt.Println("asked")
			select {}
		}
		// struct fuse_out_header, then the beginning of struct fuse_init_out.
		reply := make([]byte, 16+64)
		binary.NativeEndian.PutUint32(reply, uint32(len(reply)))
		copy(reply[8:16], buf[8:16])
		copy(reply[16:24], buf[40:48])
		binary.NativeEndian.PutUint32(reply[36:], 1<<16) // max_write
		if _, err := unix.Write(fd, reply[:]); err != nil {
			return fmt.Errorf("answer %d bytes: %w", n, err)
		}
	}
}

// A server that waits for itself ends when it is killed.
func TestKilled(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root, to mount")
	}
	at := t.TempDir()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+at)
	cmd.SysProcAttr = &unix.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err, cmd.Wait())
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatalf("process %d can't be killed", cmd.Process.Pid)
	}
}

func TestDo(t *testing.T) {
	f, err := os.Open("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = Do(func() error {
		_, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0) // others' are there
		if err == nil {
			err = unix.Close(int(f.Fd())) // and they are copies
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := f.Stat(); err != nil {
		t.Error(err)
	}
}

// A thread that was apart keeps nothing in use, though it may take a moment to end.
func TestNothingStaysInUse(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root, to mount")
	}
	at := t.TempDir()
	for range 200 {
		if err := unix.Mount("apart", at, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(at)
		if err != nil {
			t.Fatal(err)
		}
		if err := Do(func() error { return nil }); err != nil {
			t.Error(err)
		}
		f.Close()
		if err := unix.Unmount(at, 0); err != nil {
			t.Error(err)
			unix.Unmount(at, unix.MNT_DETACH)
		}
	}
}
