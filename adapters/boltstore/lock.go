package boltstore

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// errBusy is returned by openFile when another process has the file.
var errBusy = errors.New("busy")

// lockRetry is the pause between attempts to lock a file.
const lockRetry = 25 * time.Millisecond

// lockFile opens a file and locks it: for this process only, or for all that only
// read. The lock is of bbolt's kind and ends with the file. It precedes bbolt, because
// the file is inspected, and perhaps replaced, first.
func lockFile(path string, readOnly bool) (*os.File, error) {
	for end := time.Now().Add(lockWait); ; time.Sleep(lockRetry) {
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
			return nil, errors.New("it is not a regular file")
		}
		f, err := openFile(path, readOnly)
		switch {
		case errors.Is(err, errBusy) && time.Now().Before(end):
			continue
		case errors.Is(err, errBusy):
			return nil, ErrInUse
		case err != nil:
			return nil, err
		}
		// The process that had the lock before may have replaced the file.
		mine, err := f.Stat()
		if err == nil {
			var there os.FileInfo
			if there, err = os.Stat(path); err == nil && os.SameFile(mine, there) {
				return f, nil
			}
		}
		_ = f.Close()
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if !time.Now().Before(end) {
			return nil, ErrInUse
		}
	}
}

// syncFolder makes the name of a file durable. Where folders cannot be synced, it
// relies on the system.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil // a folder that may be entered but not read cannot be synced
	}
	defer func() { _ = dir.Close() }()
	_ = dir.Sync() // not every file system knows how to
	return nil
}
