package server

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/laneswap/laneswap/adapters/boltstore"
)

// DataReport is what CheckData found.
type DataReport = boltstore.Report

// CheckData reads a whole data file and says what it found; that the file is
// damaged is no error. It changes nothing. It fails while a server has the file.
func CheckData(path string) (DataReport, error) {
	report, err := boltstore.Check(absolute(path))
	return report, dataError("check", path, err)
}

// CompactData writes a data file anew without its free pages, and returns its
// size in bytes before and after. It fails while a server has the file, and
// leaves a damaged one as it is.
func CompactData(path string) (before, after int64, err error) {
	path = absolute(path)
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			return 0 // the file is opened next, and says why it cannot be
		}
		return info.Size()
	}
	before = size()
	if err := boltstore.Compact(path); err != nil {
		return before, before, dataError("compact", path, err)
	}
	return before, size(), nil
}

// ExportData writes every row of a data file as a line of JSON: kind, id,
// service, at, open, epoch and data. It changes nothing, and fails while a server
// has the file. Of a damaged file it writes what can be read, and then fails.
func ExportData(path string, w io.Writer) error {
	return dataError("export", path, boltstore.Export(absolute(path), w))
}

// dataError says which file, and what to do about it where something can be done.
func dataError(verb, path string, err error) error {
	if err == nil {
		return nil
	}
	path = absolute(path)
	hint := ""
	switch {
	case errors.Is(err, boltstore.ErrInUse):
		hint = " (stop laneswapd first)"
	case errors.Is(err, os.ErrNotExist):
		hint = " (say which file it is: as an argument, by --data, or by LANESWAP_DATA)"
	case errors.Is(err, boltstore.ErrDamaged):
		hint = " (laneswapd takes over what can be read, at its next start)"
	}
	return fmt.Errorf("server: cannot %s the data file %s: %w%s", verb, path, fileReason(path, err), hint)
}
