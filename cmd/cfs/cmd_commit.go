package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cfs-project/cfs/imagecmd"
	"github.com/cfs-project/cfs/layerpack"
)

func newCommit(t *terminal, g *globals) *cobra.Command {
	o := imagecmd.CommitOptions{Note: t.leftOut}
	cmd := &cobra.Command{
		Use:   "commit CONTAINER [NAME[:TAG]]",
		Short: "Make an image of what a container has changed",
		Long: `Make an image of a container: its image, with what the container has changed as
one layer more, and the configuration it ran with. Prints the new image's ID.
The container may run, and is paused while it is read, or be mounted.

With SOURCE_DATE_EPOCH set the same change makes the same image, whenever and in
whatever container it was made.`,
		Example: `  cfs run --name work debian sh -c 'apt-get update && apt-get install -y gcc'
  cfs commit -m 'with a compiler' -c 'CMD ["gcc", "--version"]' work debian:gcc`,
		Args: between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := g.open()
			if err != nil {
				return err
			}
			o.Container = args[0]
			if len(args) > 1 {
				o.Name = args[1]
			}
			return imagecmd.Commit(cmd.Context(), st, o, t.out)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Author, "author", "a", "", "the image's `AUTHOR`, such as 'Jo Doe <jo@example.org>'")
	f.StringArrayVarP(&o.Changes, "change", "c", nil, "apply a Dockerfile `INSTRUCTION` to the image, such as 'ENV A=b'; may be repeated")
	f.StringVarP(&o.Message, "message", "m", "", "a `TEXT` for the image's history")
	f.BoolVarP(&o.Pause, "pause", "p", true, "stop the container's processes while it is read")
	compressionFlag(f, &o.Compression)
	return cmd
}

// compressionFlag is --compression of commands that make a layer, which is plain without it.
func compressionFlag(f *pflag.FlagSet, to *layerpack.Compression) {
	*to = layerpack.Plain
	f.Var(&parsed[layerpack.Compression]{kind: "string", to: to, given: to.String(), parse: func(s string) (layerpack.Compression, error) {
		for _, c := range []layerpack.Compression{layerpack.Plain, layerpack.Gzip, layerpack.Zstd} {
			if c.String() == s {
				return c, nil
			}
		}
		return 0, fmt.Errorf("unknown compression %q: it is plain, gzip or zstd", s)
	}}, "compression", "keep the layer `HOW`: plain, gzip or zstd; cfs push compresses what is plain")
}

// leftOut tells of what a layer can't hold.
func (t *terminal) leftOut(path, what string) { t.warn("%s: %s", path, what) }
