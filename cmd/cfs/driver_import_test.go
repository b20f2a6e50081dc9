package main

import (
	"os"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cfs-project/cfs/internal/testdocker"
)

// dockerStore writes Docker's directory as one of its drivers would, with an image of
// layers, whose ID is $ID then. With ! Docker has not kept the headers of their tars.
func dockerStore(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 4 {
		ts.Fatalf("usage: [!] dockerstore DIR DRIVER NAME:TAG LAYER.tar...")
	}
	s := testdocker.Store{Dir: ts.MkAbs(args[0]), Driver: args[1], NoSplit: neg}
	var layers [][]byte
	for _, name := range args[3:] {
		tar, err := os.ReadFile(ts.MkAbs(name))
		ts.Check(err)
		layers = append(layers, tar)
	}
	id, err := s.Add(args[2], layers...)
	ts.Check(err)
	ts.Setenv("ID", string(id))
}
