package sys

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// ReadJSON reads what WriteJSON wrote; the error wraps os.ErrNotExist if there is no file.
func ReadJSON(name string, v any) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// WriteJSON replaces the file name, which only its owner may read, and has it on disk.
func WriteJSON(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(name, data, 0o600, renameio.WithTempDir(filepath.Dir(name))); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(name))
}
