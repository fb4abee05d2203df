package boltstore

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"go.etcd.io/bbolt"
)

// compactStep is the number of bytes that Compact writes in one transaction.
const compactStep = 4 << 20

// Compact writes a copy of a file without its free pages and replaces the file by
// it in one step, with the same mode. It returns ErrInUse while a process has the
// file open. It returns ErrDamaged for a damaged file, which it leaves to Open. A
// symbolic link stands for the file that it leads to.
func Compact(path string) error {
	return resolved("compact", path, compact)
}

func compact(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err // lockFile would create the file
	}
	f, err := lockFile(path, false)
	if err != nil {
		return err
	}
	in, err := inspect(f, len(steps), nil)
	if err == nil {
		if problems := in.problems(); len(problems) > 0 {
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
	// This releases the lock on the old file.
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
		err = src.Close() // an open file cannot be replaced there
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
	return errors.Join(err, finish(dst, err == nil))
}

// finish closes a new file. When it is whole, both of its meta pages lead to all of
// it and it is on the disk.
func finish(db *bbolt.DB, whole bool) error {
	var err error
	if whole {
		// The state before this commit is the one after it.
		if err = db.Update(func(*bbolt.Tx) error { return nil }); err == nil {
			err = db.Sync()
		}
	}
	return errors.Join(err, db.Close())
}
