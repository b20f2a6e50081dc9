package sys

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Program is the path of a program of the system administrator's, which ordinary paths may not
// have.
func Program(name string) (string, error) {
	if at, err := exec.LookPath(name); err == nil {
		return at, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if fi, err := os.Stat(filepath.Join(dir, name)); err == nil && fi.Mode()&0o111 != 0 {
			return filepath.Join(dir, name), nil
		}
	}
	return "", fmt.Errorf("the program %s is missing", name)
}
