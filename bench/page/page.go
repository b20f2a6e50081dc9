package page

import "github.com/cfs-project/cfs/bench"

// HTML is the report as a page.
func HTML(r *bench.Report) ([]byte, error) { return nil, nil }
