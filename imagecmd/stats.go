package imagecmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/docker/go-units"

	"github.com/cfs-project/cfs/imagecmd/internal/format"
)

// StatsOptions says of which containers it is shown what they use, and how.
type StatsOptions struct {
	Names    []string // none: all that run
	All      bool     // those that don't run, too
	NoStream bool     // once
	NoTrunc  bool     // whole IDs
	// Format is a Go template, "table TEMPLATE", "table", or "json" for an object a line.
	Format string
}

const statsColumns = "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}"

// statsTitles are the column titles of the fields of [statsRow].
var statsTitles = map[string]string{
	"Container": "CONTAINER", "ID": "CONTAINER ID", "Name": "NAME", "CPUPerc": "CPU %", "MemUsage": "MEM USAGE / LIMIT",
	"MemPerc": "MEM %", "NetIO": "NET I/O", "BlockIO": "BLOCK I/O", "PIDs": "PIDS",
}

// statsRow is one container's line. Its fields are those of Docker's templates, in the order
// of Docker's JSON.
type statsRow struct {
	BlockIO   string
	CPUPerc   string
	Container string // as it was asked for
	ID        string
	MemPerc   string
	MemUsage  string
	Name      string
	NetIO     string
	PIDs      string
}

// MarshalJSON is the row as {{json .}} prints it.
func (r *statsRow) MarshalJSON() ([]byte, error) {
	type plain statsRow
	return json.Marshal((*plain)(r))
}

// statsInterval is how often it is shown, as with Docker.
const statsInterval = time.Second

// Stats shows what containers use: once, or again and again until ctx is done.
func Stats(ctx context.Context, root string, o StatsOptions, out io.Writer) error {
	before := map[string]*resourceUse{}
	if _, err := statsRows(root, o, before); err != nil {
		return err
	}
	spec := format.Spec(o.Format, false)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(statsInterval):
		}
		rows, err := statsRows(root, o, before)
		if err != nil {
			return err
		}
		var page bytes.Buffer
		if !o.NoStream && isTerminal(out) {
			page.WriteString("\033[2J\033[H") // clear, and go to the first line
		}
		if err := format.Write(&page, format.Table{Columns: statsColumns, Titles: statsTitles}, spec, rows); err != nil {
			return err
		}
		if _, err := page.WriteTo(out); err != nil {
			return err
		}
		if o.NoStream {
			return nil
		}
	}
}

// statsRows asks every container; before is what was answered the last time, from which
// the share of CPUs is counted.
func statsRows(root string, o StatsOptions, before map[string]*resourceUse) ([]*statsRow, error) {
	cs := OpenContainers(root)
	type asked struct {
		name string
		c    *Container
	}
	var list []asked
	for _, name := range o.Names {
		c, err := cs.Find(name)
		if err != nil {
			return nil, err
		}
		list = append(list, asked{name, c})
	}
	if len(o.Names) == 0 {
		all, err := cs.List()
		if err != nil {
			return nil, err
		}
		for i := len(all) - 1; i >= 0; i-- { // as ps
			if c := all[i]; c.MountedAt == "" && (o.All || c.Running()) {
				list = append(list, asked{c.ShortID(), c})
			}
		}
	}
	now := make([]*resourceUse, len(list))
	errs := make([]error, len(list))
	var wait sync.WaitGroup
	for i, a := range list {
		wait.Go(func() {
			r, err := a.c.ask(controlRequest{Op: opStats})
			if err != nil && !errors.Is(err, ErrNotRunning) && a.c.Running() {
				errs[i] = err
			}
			if now[i] = r.Usage; now[i] == nil {
				now[i] = &resourceUse{}
			}
		})
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	rows := make([]*statsRow, len(list))
	for i, a := range list {
		rows[i] = newStatsRow(a.name, a.c, now[i], before[a.c.ID], o.NoTrunc)
		before[a.c.ID] = now[i]
	}
	return rows, nil
}

func newStatsRow(name string, c *Container, now, before *resourceUse, whole bool) *statsRow {
	pair := func(a, b uint64, text func(uint64) string) string { return text(a) + " / " + text(b) }
	binary := func(n uint64) string { return units.BytesSize(float64(n)) }
	decimal := func(n uint64) string { return units.HumanSizeWithPrecision(float64(n), 3) }
	var cpu, memory float64
	if before != nil && now.At.After(before.At) && now.CPU > before.CPU && !before.At.IsZero() {
		cpu = float64(now.CPU-before.CPU) / float64(now.At.Sub(before.At)) * 100
	}
	if now.Limit > 0 {
		memory = float64(now.Memory) / float64(now.Limit) * 100
	}
	r := &statsRow{
		Container: name, ID: c.ID, Name: c.Label(), CPUPerc: fmt.Sprintf("%.2f%%", cpu), MemPerc: fmt.Sprintf("%.2f%%", memory),
		MemUsage: pair(now.Memory, now.Limit, binary), NetIO: pair(now.Received, now.Sent, decimal),
		BlockIO: pair(now.Read, now.Written, decimal), PIDs: strconv.Itoa(now.Pids),
	}
	if !whole {
		r.ID = c.ShortID()
	}
	return r
}
