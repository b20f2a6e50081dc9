package imagecmd

import (
	"fmt"
	"time"

	units "github.com/docker/go-units"
)

// describe says where a container is in its life, as Docker does.
func (c *Container) describe(s State, running bool, now time.Time) string {
	switch {
	case c.going():
		return "Removal In Progress"
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
