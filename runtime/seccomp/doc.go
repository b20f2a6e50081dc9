// Package seccomp turns the seccomp part of a runtime configuration into a filter
// for the kernel, and loads it.
//
//	specs.LinuxSeccomp ──► rules a numbering ──► decision tree ──► BPF ──► seccomp(2)
//	  names, actions,        numbers, sorted;       by halves over
//	  architectures          conditions on          runs of numbers
//	                         arguments              with one answer
//
// # Vocabulary
//
//   - numbering: the system call numbers of one ABI, such as x86_64, x86 or x32. A kernel
//     knows several, and says with each call which one it used.
//   - rule: what to answer a call, perhaps only if its arguments are such.
//   - filter: a program of classic BPF over struct seccomp_data.
//
// # Meaning
//
// As libseccomp has it, and so runc and crun:
//
//   - A name that a numbering doesn't have says nothing for it.
//   - The conditions of one rule hold together; but where two are about one argument,
//     each is a rule of its own. The first of a call's rules that holds counts. A rule without
//     conditions counts before all that have some.
//   - A rule with the default action changes nothing.
//   - A call by a numbering that the profile doesn't list kills the thread. The
//     machine's own numbering is always listed.
//   - Where the default action refuses, numbers above all that the profile names are
//     answered with ENOSYS: the call is newer than the profile, and C
//     libraries fall back on an older one (runc does the same).
//
// # Reading order
//
// arch.go, rules.go, conditions.go, tree.go, program.go, load.go, default.go.
// table.go is made by internal/gentable.
package seccomp

//go:generate go run ./internal/gentable
