package boltstore

import (
	"errors"
	"os"
	"syscall"
)

// sharingViolation is the error of Windows for a file that another process has open.
const sharingViolation = syscall.Errno(32)

// openFile opens a file so that no other process can write it, or returns errBusy. The
// file may still be renamed.
func openFile(path string, readOnly bool) (*os.File, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	access, create := uint32(syscall.GENERIC_READ|syscall.GENERIC_WRITE), uint32(syscall.OPEN_ALWAYS)
	if readOnly {
		access, create = syscall.GENERIC_READ, syscall.OPEN_EXISTING
	}
	const shareDelete = 4
	handle, err := syscall.CreateFile(name, access, syscall.FILE_SHARE_READ|shareDelete, nil, create, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, sharingViolation) {
		return nil, errBusy
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(handle), path), nil
}

// releaseFile closes a file, and unlocks it by that.
func releaseFile(f *os.File) error { return f.Close() }
