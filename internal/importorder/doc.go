// Package importorder holds the law of which package may import which, and
// the test that enforces it. There is nothing in it to call for the program.
//
//	whiteout ◄ cow ◄ layerpack ◄ unionfs, kernel-drivers/* ◄ imagecmd/{store,remote,build,registry} ◄ imagecmd ◄ cmd/cfs
//	runtime/* ◄ imagecmd/build, imagecmd, cmd/cfs
//	bench/* imports all, and only cmd/cfs imports bench
//	internal/* is imported by anyone, and imports no room
//
// A room is one of these names; a package belongs to the longest that its path
// begins with. Test files keep the same law, and may import cow/cowtest beside;
// those of internal/* may import any room, as tests of several rooms live there.
//
// The source is parsed rather than listed by the go command: build
// constraints hide nothing then, and go test sees which files the result depends
// on, so that it never answers from a cache that is out of date.
package importorder
