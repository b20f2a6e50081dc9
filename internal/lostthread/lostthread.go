// Package lostthread runs what changes its thread for good: namespaces that it enters,
// descriptors that it no longer shares.
package lostthread

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Do runs f on a thread that ends afterwards, whatever f did to it.
func Do(f func() error) error {
	result := make(chan error, 1)
	Go(func() { result <- f() })
	return <-result
}

// Go starts f on such a thread and doesn't wait for it.
//
// It is never the main one: /proc/self shows that one's descriptors and namespaces, also
// to the other threads (proc_pid(5)), and it can't end alone.
func Go(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			f() // never unlocked: the thread ends with the goroutine
			return
		}
		// While this goroutine keeps the main thread, others get others.
		defer runtime.UnlockOSThread()
		begun := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(begun)
			f()
		}()
		<-begun
	}()
}
