package network

import (
	"fmt"
	"os"
	goruntime "runtime"

	"golang.org/x/sys/unix"
)

// inside runs f on a thread that is in a network namespace: sockets and devices that f
// makes belong there, also once it is over.
func inside(ns *os.File, f func() error) error {
	done := make(chan error, 1)
	go func() {
		goruntime.LockOSThread()
		here, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			goruntime.UnlockOSThread()
			done <- err
			return
		}
		defer here.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			goruntime.UnlockOSThread()
			done <- fmt.Errorf("enter the container's network namespace: %w", err)
			return
		}
		err = f()
		// A thread that can't come back is not used again: it ends with this function.
		if unix.Setns(int(here.Fd()), unix.CLONE_NEWNET) == nil {
			goruntime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}
