//go:build unix && !solaris && !aix

package mongotest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockBuild waits until no other process builds in a folder. What is locked is its
// main.go, which is there anyway and stays as it is (of go.mod the go command has
// a lock of its own). The lock ends with the process, however that ends.
func lockBuild(dir string) (unlock func(), err error) {
	f, err := os.Open(filepath.Join(dir, "main.go"))
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return func() { _ = f.Close() }, nil
}
