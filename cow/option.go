package cow

import "context"

// A Configurer is a driver with options that hold for all snapshots of a store, which
// keeps them. Found by type assertion.
type Configurer interface {
	// Options are all that there are, with what they are set to.
	Options() ([]Option, error)
	// SetOptions changes some, by name; an empty value is the default again. It fails
	// without a change for a name that is unknown, a value that won't do, and one that can't be
	// changed any more.
	SetOptions(ctx context.Context, values map[string]string) error
}

// An Option is one setting of a driver.
type Option struct {
	Name    string
	Value   string
	Default string
	Usage   string // what it is, and what it can be
}
