package bench

// An Entrant is what a report tells of a contestant.
type Entrant struct {
	Name    string `json:"name"`
	Kind    Kind   `json:"kind"`
	Version string `json:"version,omitempty"` // of another's program
	Usable  bool   `json:"usable"`            // it was measured
	// ViewsOnly tells of a driver that it shows images, and has no containers.
	ViewsOnly bool   `json:"views_only,omitempty"`
	Reason    string `json:"reason,omitempty"` // why it was not
	Hint      string `json:"hint,omitempty"`   // what can be done about it
	Note      string `json:"note,omitempty"`   // under what conditions of its own
}

// A Kind is what a contestant is for.
type Kind string

// The kinds.
const (
	Limit     Kind = "limit"     // the native directory: it can't be better
	Reference Kind = "reference" // the kernel's overlay, that others are compared with
	Driver    Kind = "driver"    // one of cfs's, that can be chosen
	Peer      Kind = "peer"      // somebody else's, that happens to be installed
)

// A Line is what a report tells of a workload.
type Line struct {
	Name   string `json:"name"`
	Group  string `json:"group"`
	About  string `json:"about"`            // what is done, in a sentence
	State  string `json:"state"`            // of the caches: warm, new mount, cold
	Unit   string `json:"unit,omitempty"`   // of its samples; none: nanoseconds
	Series string `json:"series,omitempty"` // of lines that differ in Depth only
	Depth  int    `json:"depth,omitempty"`  // layers
}

// A Verdict is which driver is best for a use.
type Verdict struct {
	Use   string `json:"use"`
	About string `json:"about"` // what it is judged by
	// Ranking has the drivers, the best first.
	Ranking []Rank `json:"ranking"`
	// Text is the verdict in a sentence or two.
	Text      string   `json:"text"`
	Workloads []string `json:"workloads"` // that it rests on
}

// A Rank is a driver's place. The score is the geometric mean of its medians in those
// of the best driver of each workload: 1 is the best at everything.
type Rank struct {
	Driver string  `json:"driver"`
	Score  float64 `json:"score"`
	// Low and High bound the score with 95 % confidence.
	Low  float64 `json:"low"`
	High float64 `json:"high"`
	// Tied tells that it can't be told from the first.
	Tied bool `json:"tied,omitempty"`
}
