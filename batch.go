package laneswap

import "github.com/laneswap/laneswap/internal/journal"

// entry is a row that waits to be stored.
type entry = journal.Entry

// flight is what is being committed, as a batch.
type flight struct {
	*journal.Flight[sighting]
	batch  Batch   // what is not stored yet
	broken []error // rows that could not be encoded
}

// key is the identity of a row, as the journal has it.
func key(kind Kind, id string) journal.Key { return journal.Key{Kind: string(kind), ID: id} }

// rowOf encodes an entry.
func rowOf(e *entry) (Row, error) {
	data, err := encode(e.Data)
	return Row{Kind: Kind(e.Kind), ID: e.ID, Service: e.Service, At: wallTime(e.At), Open: e.Open, Data: data}, err
}

// newFlight makes the batch.
func newFlight(taken *journal.Flight[sighting]) *flight {
	f := &flight{Flight: taken}
	f.batch.Epoch = 1
	for _, e := range f.Entries {
		if e.Delete {
			f.batch.Delete = append(f.batch.Delete, Key{Kind(e.Kind), e.ID})
			continue
		}
		row, err := rowOf(e)
		if err == nil {
			err = row.check()
		}
		switch {
		case err != nil:
			f.broken = append(f.broken, err)
		case e.Insert:
			f.batch.Insert = append(f.batch.Insert, row)
		default:
			f.batch.Put = append(f.batch.Put, row)
		}
	}
	for _, s := range f.Seen {
		f.batch.Seen = append(f.batch.Seen, Seen{Service: s.service, At: wallTime(s.at)})
	}
	return f
}

// size is how many things a batch holds.
func (b Batch) size() int { return len(b.Insert) + len(b.Put) + len(b.Delete) + len(b.Seen) }

// cut returns n things of a batch and the rest; all of them where n is zero. They are
// in the order in which a batch is applied, but for what was seen: it goes first, for
// the alive row among what is put is never stored before it.
func (b Batch) cut(n int) (part, rest Batch) {
	rest.Epoch = b.Epoch
	if n == 0 || n >= b.size() {
		return b, rest
	}
	part.Epoch = b.Epoch
	// A service may have been removed and registered again: what was seen of the one
	// before is deleted first.
	var forget, others []Key
	for _, k := range b.Delete {
		if k.Kind == KindSeen {
			forget = append(forget, k)
		} else {
			others = append(others, k)
		}
	}
	forget, later := cutRows(forget, &n)
	part.Seen, rest.Seen = cutRows(b.Seen, &n)
	part.Insert, rest.Insert = cutRows(b.Insert, &n)
	part.Put, rest.Put = cutRows(b.Put, &n)
	part.Delete, rest.Delete = cutRows(others, &n)
	part.Delete, rest.Delete = append(forget, part.Delete...), append(later, rest.Delete...)
	return part, rest
}

// cutRows takes n of them at most, and that many from n.
func cutRows[T any](rows []T, n *int) (part, rest []T) {
	k := min(*n, len(rows))
	*n -= k
	return rows[:k:k], rows[k:]
}
