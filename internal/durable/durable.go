// Package durable makes files last, and their names: a file that was synced can lose the
// name it was given, until its directory is synced too.
package durable

import "os"

// SyncDir makes the names in a directory durable.
func SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
