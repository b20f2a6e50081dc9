// Package testenv is where tests get the parts of a machine that they need: an
// ordinary user with or without sub-ids, /dev/fuse for that user, and a small root
// file system.
//
//	func TestMain(m *testing.M) {
//		testenv.Main()      // first: this process may be a test in another user's name
//		os.Exit(m.Run())
//	}
//
//	func TestX(t *testing.T) {
//		testenv.EachUser(t, func(t *testing.T, who testenv.User) { … })
//	}
//
// Isolate gives the tests of a package a mount namespace of their own.
//
// EachUser runs the function as root, as a user with sub-ids, and as one without.
// The users exist only in a private mount namespace, in which other files lie
// over /etc/passwd and its like, so that nothing on the machine is changed and
// nothing is left if a test is killed.
package testenv
