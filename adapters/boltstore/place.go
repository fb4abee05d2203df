package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/laneswap/laneswap"
)

// linksMax bounds the links that lead to a file which is not there yet.
const linksMax = 40

// resolve is the path of the file itself, where a path leads over symbolic links:
// what is put in place of the file must not be put in place of a link. A file that
// is not there yet is where it would be made. A path that leads nowhere stays as it
// is, and opening it says why.
func resolve(path string) string {
	next := path
	for range linksMax {
		if real, err := filepath.EvalSymlinks(next); err == nil {
			return anchored(real)
		}
		// Split, other than Dir, keeps what stands before a "..", which may be a link.
		dir, base := filepath.Split(next)
		if dir == "" {
			dir = "."
		}
		dir, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return path
		}
		next = filepath.Join(dir, base)
		target, err := os.Readlink(next)
		switch {
		case err != nil:
			return anchored(next)
		case filepath.IsAbs(target):
			next = target
		default:
			next = dir + string(filepath.Separator) + target
		}
	}
	return path
}

// anchored is a path without links that stays the same when the process changes
// its folder.
func anchored(path string) string {
	if filepath.IsAbs(path) || filepath.VolumeName(path) != "" || os.IsPathSeparator(path[0]) {
		return path
	}
	folder, err := os.Getwd()
	if err == nil {
		folder, err = filepath.EvalSymlinks(folder)
	}
	if err != nil {
		return path
	}
	return filepath.Join(folder, path)
}

// resolved does something with the file that a path leads to. Its error says the
// path as it was given.
func resolved(verb, path string, do func(real string) error) error {
	real := resolve(path)
	err := do(real)
	var named *os.PathError
	if errors.As(err, &named) && named.Path == real {
		err = named.Err // the path is said once
	}
	return failed(verb, path, err)
}

// inPlace returns an error unless the file that is open is still the one that a
// restart would find, and as long as it ever was: bbolt never makes it shorter.
// The caller has the token of writing.
func (s *Store) inPlace() error {
	there, err := os.Stat(s.real)
	if err != nil && !gone(err) {
		return failed("write", s.path, fmt.Errorf("cannot see whether the file is still there: %w", err))
	}
	if err != nil || !os.SameFile(there, s.info) || there.Size() < s.size {
		return failed("write", s.path, ErrReplaced)
	}
	s.size = there.Size()
	return nil
}

// gone says whether an error means that there is no file, also where its folder
// has become a file.
func gone(err error) bool { return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) }

// beginning is how much of a file tells text from what was damaged.
const beginning = 512

const sqlite = "SQLite format 3\x00"

// foreignKind returns ErrForeign for a file of a kind that damage does not make: a
// database of SQLite, or text. There must be nothing in it that bbolt or we wrote.
func foreignKind(f *os.File, size int64, known int) error {
	head := make([]byte, min(size, beginning))
	n, _ := f.ReadAt(head, 0) // what cannot be read is damage, and told of as such
	var kind string
	switch {
	case n < len(head):
		return nil
	case bytes.HasPrefix(head, []byte(sqlite)):
		kind = "is a SQLite database"
	case isText(head, int64(len(head)) < size):
		kind = "is a text file"
	default:
		return nil
	}
	if hasMagic(f) {
		return nil
	}
	ours := false
	rest := newFinding(f, size, known, &sink{row: func(record) { ours = true }, seen: func(laneswap.Seen) { ours = true }})
	rest.run()
	rest.rest()
	if ours || rest.ours {
		return nil
	}
	return fmt.Errorf("%s %w", kind, ErrForeign)
}

// hasMagic says whether a file has the mark of bbolt where a meta page can be.
func hasMagic(f *os.File) bool {
	marked := func(at int64) bool {
		var b [4]byte
		_, err := f.ReadAt(b[:], at+pageHeader)
		return err == nil && native.Uint32(b[:]) == metaMagic
	}
	found := marked(0)
	for at := int64(minPage); at <= maxPage; at *= 2 {
		found = found || marked(at)
	}
	return found
}

// isText says whether all of b can be read by people. When the file goes on, the
// last character may be cut.
func isText(b []byte, goesOn bool) bool {
	b = bytes.TrimPrefix(b, []byte("\uFEFF"))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			return goesOn && !utf8.FullRune(b)
		}
		if !unicode.IsPrint(r) && !unicode.IsSpace(r) {
			return false
		}
		b = b[n:]
	}
	return true
}
