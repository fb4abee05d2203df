package server

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/laneswap/laneswap/adapters/boltstore"
)

// DataReport is the result of CheckData.
type DataReport = boltstore.Report

// CheckData reads a whole data file and reports what is in it. A damaged file is
// not an error: see DataReport.Problems. CheckData changes nothing. It fails while a
// server has the file open.
func CheckData(path string) (DataReport, error) {
	report, err := boltstore.Check(absolute(path))
	return report, dataError("check", path, err)
}

// CompactData replaces a data file by a copy without free pages, and returns its
// size in bytes before and after. It fails while a server has the file open, and
// for a damaged file, which it leaves as it is.
func CompactData(path string) (before, after int64, err error) {
	path = absolute(path)
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			return 0 // opening the file fails next, with the reason
		}
		return info.Size()
	}
	before = size()
	if err := boltstore.Compact(path); err != nil {
		return before, before, dataError("compact", path, err)
	}
	return before, size(), nil
}

// ExportData writes every row of a data file as a line of JSON: kind, id, service,
// at, open, epoch and data. It changes nothing. It fails while a server has the file
// open. Of a damaged file it writes the rows that can be read, and then fails.
func ExportData(path string, w io.Writer) error {
	return dataError("export", path, boltstore.Export(absolute(path), w))
}

// dataError adds the file, and what to do about the error.
func dataError(verb, path string, err error) error {
	if err == nil {
		return nil
	}
	path = absolute(path)
	hint := ""
	switch {
	case errors.Is(err, os.ErrNotExist):
		hint = " (name the file as an argument, by --data or by LANESWAP_DATA)"
	case errors.Is(err, boltstore.ErrDamaged):
		hint = " (at its next start laneswapd sets it aside, and takes the rows that can be read over into a new file)"
	}
	return fmt.Errorf("server: cannot %s the data file %s: %w%s", verb, path, fileReason(path, err), hint)
}
