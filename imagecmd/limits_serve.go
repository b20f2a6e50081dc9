package imagecmd

import (
	"errors"
	"slices"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/cfs-project/cfs/runtime"
	"github.com/cfs-project/cfs/runtime/cgroup"
)

// makeGroup plans the container's control group, and returns what puts its first process
// into it; nil where it has none.
func (ct *controller) makeGroup() (placed func(pid int) error, err error) {
	plan, err := ct.c.group()
	if err != nil || !plan.needed {
		return nil, err
	}
	if err := plan.usable(); err != nil {
		return nil, err
	}
	ct.mu.Lock()
	defer ct.mu.Unlock()
	plan.options.Resources = ct.besideInit(plan.options.Resources)
	g, placed, err := ct.c.prepareGroup(plan)
	ct.group = g
	return placed, err
}

// endGroup removes the control group, whose processes have ended, and tells whether one was
// killed for want of memory.
func (ct *controller) endGroup() (oom bool, err error) {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	ct.gone = true
	if ct.group == nil {
		return false, nil
	}
	oom = ct.group.OOMKilled()
	return oom, ct.c.removeGroup()
}

// place puts one more process into the control group, if there is one.
func (ct *controller) place(pid int) error {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	if ct.group == nil {
		return nil
	}
	return ct.group.Add(pid)
}

// update sets other limits. A container that had none gets a control group only now.
func (ct *controller) update(l Limits) error {
	pid, _, err := ct.running()
	if ct.resting {
		return nil // it starts with what is written down
	}
	if err != nil {
		return err
	}
	ct.mu.Lock()
	defer ct.mu.Unlock()
	if ct.gone {
		return &notRunning{ct.c}
	}
	c := *ct.c
	c.Options.Limits = l
	if ct.group != nil {
		err := ct.group.Set(ct.besideInit(l.resources()))
		if err == nil {
			ct.c.Options.Limits = l
		}
		return err
	}
	plan, err := c.group()
	if err != nil || !plan.needed {
		return err
	}
	if err := plan.usable(); err != nil {
		return err
	}
	plan.options.Resources = ct.besideInit(plan.options.Resources)
	plan.options.Devices = false // it runs without, and its profile sees to it
	g, placed, err := c.prepareGroup(plan)
	if err != nil {
		return err
	}
	ct.group, ct.late = g, true // also if that fails: what was moved stays there
	ct.c.Options.Limits = l
	err = moveInto(g, placed, pid)
	ct.releaseInit()
	ct.settle()
	return err
}

// pidsOfInit is what cfs's own init may have of threads when it begins, and executes
// a command; moreOfInit what it may come to need later, where it stays in the group.
const (
	pidsOfInit = 32
	moreOfInit = 8
)

// releaseInit takes cfs's own init out of the group once it has started the command: it
// needs a thread now and then, and must not end for want of one when the container has used up
// what it may. The lock is held.
func (ct *controller) releaseInit() {
	if ct.group == nil || !ct.init || ct.pid == 0 {
		return
	}
	err := ct.group.Release(ct.pid)
	ct.outside = err == nil
	if err != nil {
		ct.log.Debug("init stays in the control group", "error", err)
	}
}

// besideInit are resources in which cfs's own init counts as one process.
func (ct *controller) besideInit(r *specs.LinuxResources) *specs.LinuxResources {
	if r == nil || r.Pids == nil || *r.Pids.Limit < 0 {
		return r
	}
	limit := *r.Pids.Limit + int64(ct.starting*pidsOfInit)
	switch {
	case ct.pid == 0:
		limit += pidsOfInit
	case ct.outside:
		limit = max(limit-1, 1)
	case ct.init:
		limit += int64(max(runtime.Threads(ct.pid)-1, 0)) + moreOfInit
	}
	r.Pids.Limit = &limit
	return r
}

// settle sets limits anew that depend on which of our own processes are about to execute
// something. The lock is held.
func (ct *controller) settle() {
	l := Limits{PidsLimit: ct.c.Options.Limits.PidsLimit}
	if ct.group == nil || l.none() {
		return
	}
	if err := ct.group.Set(ct.besideInit(l.resources())); err != nil {
		ct.log.Warn("limit of processes", "error", err)
	}
}

// makeRoom lets one more init of ours begin in the container, until done is called.
func (ct *controller) makeRoom() (done func()) {
	change := func(n int) {
		ct.mu.Lock()
		defer ct.mu.Unlock()
		ct.starting += n
		ct.settle()
	}
	change(1)
	return sync.OnceFunc(func() { change(-1) })
}

// moveInto puts all processes of a running container into a group.
func moveInto(g *cgroup.Group, placed func(pid int) error, first int) error {
	if err := placed(first); err != nil {
		return err
	}
	// What a process starts is where that process is, so that there is an end.
	for moved := []int{first}; ; {
		all, err := runtime.Processes(first)
		if err != nil {
			return err
		}
		left := slices.DeleteFunc(all, func(pid int) bool { return slices.Contains(moved, pid) })
		if len(left) == 0 {
			return nil
		}
		for _, pid := range left {
			if err := g.Add(pid); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
			moved = append(moved, pid)
		}
	}
}
