//go:build !windows && (!unix || solaris || aix)

package boltstore

import "os"

// openFile opens a file. bbolt locks it a moment later, by the means of these
// systems.
func openFile(path string, readOnly bool) (*os.File, error) {
	if readOnly {
		return os.Open(path)
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
}

// releaseFile closes a file, and unlocks it by that.
func releaseFile(f *os.File) error { return f.Close() }
