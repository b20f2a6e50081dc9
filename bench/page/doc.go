// Package page makes a page of a benchmark's report: one HTML file that needs nothing
// else, with charts in SVG, for a screen of any width, in light or dark, and for paper.
//
//	bench.Report ─► view (page.go): what is shown, in order ─► page.html (a template)
//	                   └─ charts: bars.go, lines.go ─► geometry only; colours and letters are page.html's
//
// # Invariants
//
//   - There is no script, and nothing is fetched.
//   - A chart's letters are of the size of the text at every width: its viewBox is about
//     as wide as a phone, and columns of charts fill wider screens.
//   - What a chart cuts off (a bar many times longer than the others) is drawn as cut, with
//     its value in full.
package page
