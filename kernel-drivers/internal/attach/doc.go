// Package attach is how kernel drivers attach things at a target, and notice
// that they are gone:
//
//	Bind, Mount, or fsopen(2) with Explain and Paths ──► target ──Watch──► Mounted, a cow.Mount
package attach
