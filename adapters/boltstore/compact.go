package boltstore

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"go.etcd.io/bbolt"
)

// compactStep is how many bytes one transaction of Compact writes.
const compactStep = 4 << 20

// Compact writes a file anew without its free pages and puts it in place of the
// old one at once, with the same mode. While a process has the file it is
// ErrInUse; a damaged file is ErrDamaged and stays as it is, for Open to salvage.
// Where the path is a symbolic link, it is the file that is written anew.
func Compact(path string) error {
	return resolved("compact", path, compact)
}

func compact(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err // and no file is made
	}
	f, err := lockFile(path, false)
	if err != nil {
		return err
	}
	found, err := inspect(f, len(steps), nil)
	if err == nil {
		if problems := found.problems(); len(problems) > 0 {
			err = fmt.Errorf("%w: %s", ErrDamaged, problems[0])
		}
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	src, err := openBolt(f)
	if err != nil {
		return err
	}
	// The lock on the old file goes with it.
	defer func() { _ = src.Close() }()
	fresh, err := temporary(path, "compacted")
	if err != nil {
		return err
	}
	if err = guard(func() error { return copyTo(fresh, src) }); err == nil {
		err = os.Chmod(fresh, info.Mode().Perm())
	}
	keepOwner(fresh, info)
	if err == nil && runtime.GOOS == "windows" {
		err = src.Close() // there a file that is open cannot be replaced
	}
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		_ = os.Remove(fresh)
		return err
	}
	return syncFolder(path)
}

func copyTo(fresh string, src *bbolt.DB) error {
	dst, err := bbolt.Open(fresh, fileMode, &bbolt.Options{Timeout: lockWait, NoSync: true, NoStatistics: true})
	if err != nil {
		return err
	}
	err = bbolt.Compact(dst, src, compactStep)
	if err == nil {
		err = dst.Sync()
	}
	return errors.Join(err, dst.Close())
}
