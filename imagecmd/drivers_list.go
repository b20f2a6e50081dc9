package imagecmd

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"

	"github.com/cfs-project/cfs/cow"
	"github.com/cfs-project/cfs/internal/hint"
	"github.com/cfs-project/cfs/runtime/stage"
	"github.com/cfs-project/cfs/runtime/userns"
)

// A DriverRow is one line of `cfs driver ls`, as its --json prints it.
type DriverRow struct {
	Name    string `json:"name"`
	Level   string `json:"level"`   // at which it copies: file or block
	Shared  string `json:"shared"`  // what containers of one image have in common
	Backing string `json:"backing"` // filesystems it can keep its things on
	CopyUp  string `json:"copyUp"`  // cost of the first write to a file of the image
	Usable  bool   `json:"usable"`  // on this host, by this user
	Reason  string `json:"reason,omitempty"`
	Hint    string `json:"hint,omitempty"`
	Notes   string `json:"notes"`
	Faster  string `json:"faster,omitempty"` // at what it is faster than the union
	Default bool   `json:"default"`          // what `cfs run` uses if nobody says
}

// ListDrivers tells of every driver what it is like and whether it works here. It
// changes nothing.
func ListDrivers(ctx context.Context, root string, log *slog.Logger) ([]DriverRow, error) {
	mapping, problems := userns.Detect()
	for _, p := range problems {
		if p.Fatal {
			return nil, hint.With(p, p.Hint)
		}
	}
	checks, err := probeHere(ctx, mapping, root, log)
	if err != nil {
		return nil, err
	}
	var rows []DriverRow
	found := false
	for i, d := range Drivers(root, log) {
		about, c := cow.Describe(d), checks[i]
		row := DriverRow{
			Name: d.Name(), Level: about.Level, Shared: about.Shared, Backing: about.Backing, CopyUp: about.CopyUp,
			Usable: c.OK, Notes: about.Notes, Faster: about.Faster, Default: c.OK && !found && !about.ViewsOnly,
		}
		if !c.OK {
			row.Reason, row.Hint = c.Detail, c.Hint
		}
		found = found || row.Default
		rows = append(rows, row)
	}
	return rows, nil
}

// probeStage is argv[0] of the process that probes the drivers where an
// ordinary user's containers run.
const probeStage = "cfs-probe"

// probeHere probes the drivers where containers run.
func probeHere(ctx context.Context, mapping userns.Mapping, root string, log *slog.Logger) (checks []Check, err error) {
	if mapping.Privileged() {
		return probeDrivers(ctx, root, log), nil
	}
	out, err := runStage(mapping, probeStage, []byte(root))
	if err == nil {
		err = json.Unmarshal(out, &checks)
	}
	return checks, err
}

func probeMain(l *stage.Link, payload []byte) int {
	checks := probeDrivers(l.Context(), string(payload), slog.New(slog.DiscardHandler))
	return stageStatus(json.NewEncoder(os.Stdout).Encode(checks))
}

func probeDrivers(ctx context.Context, root string, log *slog.Logger) []Check {
	var checks []Check
	for _, d := range Drivers(root, log) {
		check := Check{Name: d.Name(), OK: true, Detail: "usable"}
		if faster := cow.Describe(d).Faster; faster != "" {
			check.Detail += "; faster at " + faster
		}
		if err := d.Probe(ctx); err != nil {
			check.OK, check.Detail = false, err.Error()
			var u *cow.Unusable
			if errors.As(err, &u) {
				check.Detail, check.Hint = u.Reason, u.Hint
			}
		}
		checks = append(checks, check)
	}
	return checks
}
