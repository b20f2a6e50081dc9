package runtime_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/cfs-project/cfs/internal/testenv"
)

// A person is at the keyboard of a terminal that P was started from.
type person struct {
	*running
	master *os.File
	slave  *os.File

	mu   sync.Mutex
	seen strings.Builder
}

// sit starts P as the foreground session leader of a new terminal.
func (j *job) sit(t testing.TB) *person {
	t.Helper()
	master, slave := newPty(t)
	p := &person{running: new(running), master: master, slave: slave}
	p.cmd = j.cmd(t)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = slave, slave, slave
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
	go func() {
		buf := make([]byte, 1024)
		for {
			n, err := master.Read(buf)
			p.mu.Lock()
			p.seen.Write(buf[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return p
}

func newPty(t testing.TB) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	s, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if e != 0 {
		t.Fatal(e)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 99}); err != nil {
		t.Fatal(err)
	}
	master, slave = os.NewFile(uintptr(fd), "master"), os.NewFile(s, "slave")
	t.Cleanup(func() { master.Close(); slave.Close() })
	return master, slave
}

// see waits for text on the screen.
func (p *person) see(t testing.TB, text string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		p.mu.Lock()
		s := p.seen.String()
		p.mu.Unlock()
		if strings.Contains(s, text) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q isn't on the screen: %q", text, s)
		}
	}
}

func (p *person) types(t testing.TB, s string) {
	t.Helper()
	if _, err := p.master.WriteString(s); err != nil {
		t.Fatal(err)
	}
}

func (p *person) leaves(t testing.TB, status int) {
	t.Helper()
	stop := time.AfterFunc(20*time.Second, func() { p.cmd.Process.Kill() })
	defer stop.Stop()
	p.cmd.Wait()
	if got := p.cmd.ProcessState.ExitCode(); got != status {
		p.mu.Lock()
		defer p.mu.Unlock()
		t.Errorf("status %d, want %d; screen: %q", got, status, p.seen.String())
	}
}

func termios(t testing.TB, f *os.File) string {
	t.Helper()
	s, err := term.GetState(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(*s)
}

// cooked waits until the terminal has its mode back.
func (p *person) cooked(t testing.TB, mode string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); termios(t, p.slave) != mode; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the terminal is left in raw mode")
		}
	}
}

func TestTerminal(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		for _, init := range []bool{false, true} {
			j := sh(t, `tty; stty size; trap 'stty size' WINCH; trap 'echo interrupted' INT; echo ready; until read -t 1 a && test -n "$a"; do :; done; echo "read $a"; test -c /dev/console && tty </dev/console; exit 4`)
			j.Init, j.Spec.Process.Terminal = init, true
			p := j.sit(t)
			p.see(t, "ready\r\n")
			mode := termios(t, p.slave)
			p.see(t, "/dev/pts/0\r\n33 99\r\n")
			if err := unix.IoctlSetWinsize(int(p.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 44, Col: 111}); err != nil {
				t.Fatal(err)
			}
			p.see(t, "44 111\r\n")
			p.types(t, "\x03")
			p.see(t, "interrupted\r\n")
			p.types(t, "word\r")
			p.see(t, "read word\r\n")
			p.leaves(t, 4)
			if termios(t, p.slave) == mode {
				t.Error("the terminal was not raw before, or is raw now")
			}
			if n := strings.Count(p.seen.String(), "word"); n != 2 { // one echo, one answer
				t.Errorf("echoed %d times: %q", n, p.seen.String())
			}
		}
	})
}

// Job control works in the container: the shell leads the session and owns the terminal.
func TestTerminalShell(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		for _, init := range []bool{false, true} {
			j := sh(t, "")
			j.Init, j.Spec.Process.Terminal = init, true
			j.Spec.Process.Args = []string{"sh", "-i"}
			p := j.sit(t)
			p.see(t, "/ # ")
			p.types(t, "echo $((40+1)); sleep 1000\r")
			p.see(t, "41\r\n")
			time.Sleep(100 * time.Millisecond) // until sleep is in the foreground
			p.types(t, "\x1a")                 // Ctrl-Z
			p.see(t, "Stopped")
			p.types(t, "fg; echo $((40+2))\r")
			time.Sleep(100 * time.Millisecond)
			p.types(t, "\x03") // Ctrl-C
			p.types(t, "echo $((40+3))\r")
			p.see(t, "43\r\n")
			if s := p.seen.String(); strings.Contains(s, "can't access tty") {
				t.Errorf("no job control: %q", s)
			}
			p.types(t, "exit 6\r")
			p.leaves(t, 6)
		}
	})
}

// Whatever way it ends, the person gets the terminal back.
func TestTerminalGivenBack(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		for _, victim := range []string{"P", "S", "I", "not found"} {
			j := sh(t, "trap '' HUP; echo ready; sleep 1000")
			j.Init, j.Spec.Process.Terminal = true, true
			status := 125
			if victim == "not found" {
				j.Spec.Process.Args = []string{"nonesuch"}
			}
			master, slave := newPty(t)
			mode := termios(t, slave)
			master.Close()
			slave.Close()
			p := j.sit(t)
			var left []int
			if victim != "not found" {
				p.see(t, "ready")
				if termios(t, p.slave) == mode {
					t.Error("the terminal isn't raw")
				}
				left = p.tree(t)
			}
			switch victim {
			case "P":
				p.cmd.Process.Kill()
				status = -1
			case "S":
				unix.Kill(left[0], unix.SIGKILL)
			case "I":
				unix.Kill(left[1], unix.SIGKILL)
				status = 137
			case "not found":
				status = 127
			}
			p.leaves(t, status)
			p.cooked(t, mode)
			gone(t, left)
		}
	})
}

// Without a terminal in the container, Ctrl-C still reaches the process, by way of P.
func TestInterruptWithoutTerminal(t *testing.T) {
	testenv.EachUser(t, func(t *testing.T, who testenv.User) {
		for _, init := range []bool{false, true} {
			j := sh(t, `test -t 0 && trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.01; done`)
			j.Init = init
			p := j.sit(t)
			p.see(t, "ready")
			p.types(t, "\x03")
			p.see(t, "interrupted")
			p.leaves(t, 5)
		}
	})
}
