package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Self is the path of the program that this process runs, which is cfs where it is
// called so.
const Self = "/proc/self/exe"

// command is a program with its arguments. What it says on standard error is
// kept, in talk, to be part of an error.
func command(ctx context.Context, program string, args ...string) (cmd *exec.Cmd, talk *bytes.Buffer) {
	cmd, talk = exec.CommandContext(ctx, program, args...), new(bytes.Buffer)
	if program == Self {
		cmd.Args[0] = "cfs"
	}
	// Not killed when interrupted: it takes its containers and mounts with it.
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.Stderr = talk
	return cmd, talk
}

func commandError(err error, cmd *exec.Cmd, talk *bytes.Buffer) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w: %s", filepath.Base(cmd.Args[0]), strings.Join(cmd.Args[1:], " "), err, bytes.TrimSpace(talk.Bytes()))
}

// Timed runs a program from start to end.
func Timed(ctx context.Context, program string, args ...string) (time.Duration, error) {
	return TimedInput(ctx, os.DevNull, program, args...)
}

// TimedInput runs a program from start to end with a file as its standard input.
func TimedInput(ctx context.Context, input, program string, args ...string) (time.Duration, error) {
	f, err := os.Open(input)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	cmd, talk := command(ctx, program, args...)
	cmd.Stdin = f
	start := time.Now()
	err = cmd.Run()
	d := time.Since(start)
	return d, commandError(err, cmd, talk)
}

// Can tells whether a program has a command, by asking for its help.
func Can(ctx context.Context, program, command string) bool {
	help, err := exec.CommandContext(ctx, program, command, "--help").Output()
	return err == nil && bytes.Contains(help, []byte(filepath.Base(program)+" "+command+" "))
}

// Peak runs a program and gives the most memory that it held resident, in KiB:
// VmHWM of proc_pid_status(5), looked at until its end. (What wait4(2) tells
// counts the memory of the process that started it.)
func Peak(ctx context.Context, program string, args ...string) (kib int64, err error) {
	cmd, talk := command(ctx, program, args...)
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	done := make(chan struct{})
	peak := make(chan int64)
	go func() {
		const often = 5 * time.Millisecond
		t := time.NewTicker(often)
		defer t.Stop()
		var most int64
		for {
			if n, err := statusKiB(cmd.Process.Pid, "VmHWM"); err == nil { // else it has ended
				most = n
			}
			select {
			case <-done:
				peak <- most
				return
			case <-t.C:
			}
		}
	}()
	err = cmd.Wait()
	close(done)
	kib = <-peak
	if err == nil && kib == 0 {
		err = errors.New("it ended before its memory was looked at")
	}
	return kib, commandError(err, cmd, talk)
}

// Fresh gives run a path on the ground at which nothing is, removes what run
// left there, and gives run's time.
func (g *Ground) Fresh(name string, run func(path string) (time.Duration, error)) (time.Duration, error) {
	path := filepath.Join(g.Dir, name)
	d, err := run(path)
	return d, errors.Join(err, os.RemoveAll(path))
}
