//go:build unix && !solaris && !aix

package mongotest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockBuild waits until no other process builds in a folder. It locks main.go, and
// not go.mod, which the go command locks. The lock ends with the process.
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
