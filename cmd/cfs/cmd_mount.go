package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

func newMount(t *terminal, g *globals) *cobra.Command {
	var o imagecmd.MountOptions
	cmd := &cobra.Command{
		Use:   "mount [--rw] IMAGE|CONTAINER DIR",
		Short: "Mount an image, or a container's changes on top of it, at a directory",
		Long: `Mount an image at a directory, read-only, or with --rw so that changes go to a
new upper directory. What was changed is kept, and can be mounted again by its
name or ID. With no arguments, list what is mounted.

Which layer a file came from: getfattr -n user.cfs.layer --only-values FILE`,
		Example: `  cfs mount debian /tmp/d && ls /tmp/d && cfs umount /tmp/d
  cfs mount --rw --name work debian /tmp/d`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return exactly(2)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := g.open()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return listMounts(t, imagecmd.OpenContainers(st.Root()))
			}
			o.Debug = g.debug
			o.Source, o.Target = args[0], args[1]
			c, err := imagecmd.Mount(cmd.Context(), st, o)
			if err != nil {
				return err
			}
			if !c.ReadOnly {
				t.note("changes go to %s (cfs rm %s forgets them)", c.ChangesDir(), c.Label())
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.ReadWrite, "rw", false, "allow changes; they go to an upper directory in the store")
	f.StringVar(&o.Name, "name", "", "a `NAME` for what is changed")
	f.BoolVar(&o.AllowOther, "allow-other", os.Geteuid() == 0, "let other users in, with the kernel checking permissions")
	f.StringVar(&o.Driver, "driver", "", "storage driver `NAME` or auto (CFS_DRIVER); default: the userspace union (cfs driver ls)")
	f.Var(storageOptions{&o.MaxSize}, "storage-opt", "bound what may be changed, where the driver can")
	return cmd
}

func listMounts(t *terminal, cs imagecmd.Containers) error {
	all, err := cs.List()
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.MountedAt != "" && c.Running() {
			mode := "rw"
			if c.ReadOnly {
				mode = "ro"
			}
			t.print("%s on %s (%s)\n", c.Image, c.MountedAt, mode)
		}
	}
	return nil
}

func newUmount(t *terminal, g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "umount DIR...",
		Aliases: []string{"unmount"},
		Short:   "Unmount what `cfs mount` or `cfs union` mounted",
		Long:    "Unmount directories, and wait until their servers have ended and nothing of them is open.",
		Args:    atLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := g.open()
			if err != nil {
				return err
			}
			failed := false
			for _, dir := range args {
				kept, err := imagecmd.Unmount(cmd.Context(), st, dir)
				if err != nil {
					t.fail(fmt.Errorf("unmounting %s: %w", dir, err))
					failed = true
					continue
				}
				if kept != nil {
					t.note("changes are kept: cfs mount %s DIR shows them again, cfs rm %s forgets them", kept.Label(), kept.Label())
				}
			}
			if failed {
				return &exitError{status: statusFailed}
			}
			return nil
		},
	}
}
