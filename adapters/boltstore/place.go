package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"unicode"
	"unicode/utf8"
)

// linksMax bounds the links that lead to a file which is not there yet.
const linksMax = 40

// resolve returns the path of the file itself, where a path leads over symbolic
// links: a new file must replace the file and not a link. For a missing file it
// returns where the file would be created. A path that leads nowhere is returned
// as it is, and opening it fails with the reason.
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

// anchored makes a path without links absolute.
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

// resolved calls do with the file that a path leads to. Its error names the path
// as it was given.
func resolved(verb, path string, do func(real string) error) error {
	real := resolve(path)
	err := do(real)
	var named *os.PathError
	if errors.As(err, &named) && named.Path == real {
		err = named.Err // the path is named once
	}
	return failed(verb, path, err)
}

// inPlace returns an error unless the open file is still the one that a restart
// would find, and not shorter than before: bbolt never makes it shorter. The caller
// holds the token of writing.
func (s *Store) inPlace() error {
	there, err := os.Stat(s.real)
	if err != nil && !gone(err) {
		return failed("write", s.path, fmt.Errorf("cannot check that the file is still in its place: %w", err))
	}
	if err != nil || !os.SameFile(there, s.info) || there.Size() < s.maxSize {
		return failed("write", s.path, ErrReplaced)
	}
	s.maxSize = there.Size()
	return nil
}

// gone reports whether an error means that there is no file, or that its folder
// has become a file.
func gone(err error) bool { return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) }

// textSize is how much of a file foreignKind reads to tell text from damage.
const textSize = 512

const sqlite = "SQLite format 3\x00"

// foreignKind returns ErrForeign for a file without a meta page that is a SQLite
// database or text: damage does not make such a file.
func foreignKind(r io.ReaderAt, size int64) error {
	head := make([]byte, min(size, textSize))
	if n, _ := r.ReadAt(head, 0); n < len(head) {
		return nil // it cannot be read, so it is damaged
	}
	switch {
	case bytes.HasPrefix(head, []byte(sqlite)):
		return fmt.Errorf("%w: it is a SQLite database", ErrForeign)
	case isText(head, int64(len(head)) < size):
		return fmt.Errorf("%w: it is a text file", ErrForeign)
	}
	return nil
}

// isText reports whether b is readable text. When the file goes on behind b, the
// last character may be cut off.
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
