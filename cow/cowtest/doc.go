// Package cowtest is the conformance suite of cow.Driver: every driver passes
// it unchanged. It knows neither packed layers nor any driver; the caller
// gives both:
//
//	func TestDriver(t *testing.T) {
//		cowtest.Run(t, cowtest.Harness{
//			New:   func(t testing.TB) cow.Driver { return overlay2.New(t.TempDir(), nil) },
//			Chain: func(t testing.TB, layers ...cowtest.Layer) cow.Chain { ... pack Layer.WriteTar ... },
//		})
//	}
//
//	Layer (entries) ──WriteTar──► Harness.Chain ──► cow.Chain ──► Driver.Mount ──► Walk ─┐
//	      └──────────────────────Merge (the model)──────────────────────────────────► compare
//
// # Vocabulary
//
//   - entry, layer: what a layer's tar says, in the order it says it.
//   - tree: every path of a root with all that can be seen of it.
//   - limit: a named thing that a driver is known not to do. A harness declares
//     it with a reason; the case then checks what is promised instead, and logs
//     it. Nothing is skipped without a limit.
//
// # What the suite needs of its process
//
// Mounting must be possible in it as it is: a caller that wants to test without
// root enters a user and mount namespace first ([Rootless] does that). Two cases start the test
// binary again, with the same test selected, so Run must be reached quickly
// and its Harness must not depend on what ran before it.
package cowtest
