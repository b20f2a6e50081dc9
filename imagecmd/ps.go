package imagecmd

import (
	"fmt"
	"strings"
	"time"

	units "github.com/docker/go-units"
)

// A ContainerRow is one line of `cfs ps`.
type ContainerRow struct {
	ID      string `json:"id"`
	Image   string `json:"image"`
	Command string `json:"command"`
	Created string `json:"created"`
	Status  string `json:"status"`
	Name    string `json:"name"`
	Running bool   `json:"running"`
}

// ListContainers returns what `cfs ps` shows, newest first: containers that
// run, or with all every one that is kept.
func ListContainers(cs Containers, all bool, now time.Time) ([]ContainerRow, error) {
	list, err := cs.List()
	if err != nil {
		return nil, err
	}
	var rows []ContainerRow
	for i := len(list) - 1; i >= 0; i-- {
		c := list[i]
		running := c.Running()
		if !running && !all {
			continue
		}
		state, err := c.State()
		if err != nil {
			return nil, err
		}
		rows = append(rows, ContainerRow{
			ID: c.ID, Image: c.Image, Command: strings.Join(c.Command, " "), Name: c.Name, Running: running,
			Created: units.HumanDuration(now.Sub(c.Created)) + " ago",
			Status:  c.describe(state, running, now),
		})
	}
	return rows, nil
}

func (c *Container) describe(s State, running bool, now time.Time) string {
	switch {
	case c.MountedAt != "" && running:
		return "Mounted on " + c.MountedAt
	case c.MountedAt != "":
		return "Unmounted"
	case running && s.Restarting:
		return fmt.Sprintf("Restarting (%d) %s ago", s.Status, units.HumanDuration(now.Sub(s.Finished)))
	case running && s.Paused:
		return "Up " + units.HumanDuration(now.Sub(s.Started)) + " (Paused)"
	case running:
		return "Up " + units.HumanDuration(now.Sub(s.Started)) + c.describeHealth()
	case s.Started.IsZero():
		return "Created"
	case s.Finished.IsZero(): // its monitor was killed before it could say how it ended
		return fmt.Sprintf("Exited (%d)", statusKilled)
	default:
		return fmt.Sprintf("Exited (%d) %s ago", s.Status, units.HumanDuration(now.Sub(s.Finished)))
	}
}
