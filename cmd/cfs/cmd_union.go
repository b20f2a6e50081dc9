package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// mountPrograms are names by which cfs is the union's mount program itself.
var mountPrograms = map[string]bool{"fuse-overlayfs": true, "cfs-union": true, "mount.fuse.cfs": true, "mount.cfs": true}

var _ = fmt.Sprint
var _ cobra.Command
