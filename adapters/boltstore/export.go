package boltstore

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/laneswap/laneswap"
)

// exported is a row as a line of JSON.
type exported struct {
	Kind    laneswap.Kind   `json:"kind"`
	ID      string          `json:"id"`
	Service string          `json:"service,omitempty"`
	At      time.Time       `json:"at"`
	Open    bool            `json:"open,omitempty"`
	Epoch   uint64          `json:"epoch,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
	// Raw is the data in base64 when it is not JSON.
	Raw []byte `json:"raw,omitempty"`
}

// Export writes every row to w as a line of JSON: first the open rows, then those
// of KindSeen (when services were last seen), then the others; kind by kind, in the
// order of time. It changes nothing. It returns ErrInUse while a process has the
// file open. Of a damaged file Export writes the rows that it can read, and then
// returns ErrDamaged.
func Export(path string, w io.Writer) error {
	return resolved("export", path, func(real string) error { return export(real, w) })
}

func export(path string, w io.Writer) error {
	f, err := lockFile(path, true)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	out := bufio.NewWriter(w)
	var written error // the first error
	write := func(line exported) {
		b, err := json.Marshal(line)
		if err == nil {
			_, err = out.Write(append(b, '\n'))
		}
		if written == nil {
			written = err
		}
	}
	in, err := inspect(f, len(steps), &sink{
		row: func(r record) {
			line := exported{Kind: r.Kind, ID: r.ID, Service: r.Service, At: r.At, Open: r.Open, Epoch: r.epoch}
			if json.Valid(r.Data) {
				line.Data = r.Data
			} else {
				line.Raw = r.Data
			}
			write(line)
		},
		seen: func(s laneswap.Seen) {
			write(exported{Kind: laneswap.KindSeen, ID: s.Service, Service: s.Service, At: s.At, Open: true})
		},
	})
	if err == nil {
		err = written
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return err
	}
	if problems := in.problems(); len(problems) > 0 {
		return fmt.Errorf("%w: %s", ErrDamaged, problems[0])
	}
	return nil
}
