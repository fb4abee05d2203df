//go:build unix && !solaris && !aix

package boltstore

import (
	"errors"
	"os"
	"syscall"
)

// openFile opens and locks a file, or returns errBusy.
func openFile(path string, readOnly bool) (*os.File, error) {
	flag, lock := os.O_RDWR|os.O_CREATE, syscall.LOCK_EX
	if readOnly {
		flag, lock = os.O_RDONLY, syscall.LOCK_SH
	}
	f, err := os.OpenFile(path, flag, fileMode)
	if err != nil {
		return nil, err
	}
	// bbolt locks the same open file once more, which then changes nothing.
	if err := syscall.Flock(int(f.Fd()), lock|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errBusy
		}
		return nil, err
	}
	return f, nil
}

// releaseFile unlocks and closes a file. Closing alone does not unlock one that is
// still mapped into memory.
func releaseFile(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}
