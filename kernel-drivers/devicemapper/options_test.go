package devicemapper

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOptions(t *testing.T) {
	d := New(t.TempDir(), nil)
	for _, c := range []struct {
		name, value string
		good        bool
	}{
		{optDataDevice, "sdb", false}, {optDataDevice, "/dev/sdb", true},
		{optDataSize, "1M", false}, {optDataSize, "much", false}, {optDataSize, "200G", true},
		{optBlockSize, "96K", false}, {optBlockSize, "2G", false}, {optBlockSize, "128K", true},
		{optFilesystem, "btrfs", false}, {optFilesystem, "xfs", true},
		{optMinFree, "100%", false}, {optMinFree, "5", true}, {optMinFree, "0%", true},
		{"dm.thinpooldev", "/dev/mapper/x", false},
	} {
		if err := d.SetOptions(t.Context(), map[string]string{c.name: c.value}); (err == nil) != c.good {
			t.Errorf("%s=%s: %v", c.name, c.value, err)
		}
	}
	got, err := d.options()
	want := Options{
		DataDevice: "/dev/sdb", DataSize: 200 << 30, MetadataSize: 1 << 30, BlockSize: 128 << 10, BaseSize: 10 << 30,
		Filesystem: "xfs", MountOptions: "discard",
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func TestParseUsage(t *testing.T) {
	for status, want := range map[string]usage{
		"0 14/4096 17/1600 - rw discard_passdown error_if_no_space - 1024 ":             {14, 4096, 17, 1600, "rw", false},
		"3 14/4096 17/1600 5 out_of_data_space discard_passdown error_if_no_space - 0":  {14, 4096, 17, 1600, "out_of_data_space", false},
		"0 4096/4096 17/1600 - ro discard_passdown error_if_no_space needs_check 1024 ": {4096, 4096, 17, 1600, "ro", true},
		"Fail": {mode: "Fail"},
	} {
		if got, err := parseUsage(status); err != nil || got != want {
			t.Errorf("%q: %+v, %v", status, got, err)
		}
	}
	for _, status := range []string{"", "0 1/2", "0 x/y 1/2 - rw"} {
		if _, err := parseUsage(status); err == nil {
			t.Errorf("%q is taken", status)
		}
	}
}
