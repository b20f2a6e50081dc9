package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/cfs-project/cfs/imagecmd"
)

// newInspect is `cfs inspect`, of everything, and `cfs image inspect`, of images alone.
func newInspect(t *terminal, g *globals, only string) *cobra.Command {
	o := imagecmd.InspectOptions{Type: only}
	var platform string
	cmd := &cobra.Command{
		Use:   "inspect NAME|ID...",
		Short: "Show all that is known of images, containers and volumes, as JSON",
		Long: `Show images, containers and volumes, as JSON or with a Go template on Docker's fields. Of
what is not there an error tells, the rest is shown. A template that can't be
understood is exit status 64.`,
		Example: `  cfs inspect debian
  cfs inspect -f '{{range .Config.Env}}{{println .}}{{end}}' debian
  cfs inspect -f '{{json .State}}' CONTAINER`,
		Args: atLeast(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.Platform, err = platformFlag(cmd, platform); err != nil {
				return err
			}
			st, err := g.open()
			if err != nil {
				return err
			}
			o.Names = args
			o.ImageSize = func() { t.note("WARNING: --size ignored for image") }
			return eachFailed(t, templated(imagecmd.Inspect(cmd.Context(), st, o, t.out)))
		},
	}
	if only == "image" {
		cmd.Use, cmd.Short = "inspect IMAGE...", "Show all that is known of images, as JSON"
		cmd.Example = "  cfs image inspect -f '{{.Id}} {{.Size}}' debian"
	}
	if only == "volume" {
		cmd.Use, cmd.Short = "inspect VOLUME...", "Show all that is known of volumes, as JSON"
		cmd.Example = "  cfs volume inspect -f '{{.Mountpoint}}' data"
	}
	if only == "container" {
		cmd.Use, cmd.Short = "inspect CONTAINER...", "Show all that is known of containers, as JSON"
		cmd.Example = "  cfs container inspect -f '{{.State.Status}}' web"
	}
	if only != "" {
		cmd.Long = cmd.Short + ", or with a Go template on Docker's fields. Of what is not\nthere an error tells, the rest is shown. A template that can't be understood is exit status 64."
	}
	f := cmd.Flags()
	f.StringVarP(&o.Format, "format", "f", "", "print with a Go `TEMPLATE`, or 'json' for one line")
	if only == "image" {
		f.StringVar(&platform, "platform", "", "show the image for `OS/ARCH[/VARIANT]` out of those of several platforms")
	}
	if only == "" || only == "container" {
		f.BoolVarP(&o.Size, "size", "s", false, "count the files of containers")
	}
	if only == "" {
		f.StringVar(&o.Type, "type", "", "look only for this `TYPE`: image, container or volume")
	}
	return cmd
}

// templated gives a template that can't be understood Docker's exit status.
func templated(err error) error {
	if bad := new(imagecmd.TemplateError); errors.As(err, &bad) {
		return &exitError{statusTemplate, bad}
	}
	return err
}
