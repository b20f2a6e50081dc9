// Package sys is what every kernel driver asks the kernel in the same words:
// system calls that are repeated when a signal interrupts them, whether this
// process is privileged, and what a probe looks at, which programs and files included.
package sys
