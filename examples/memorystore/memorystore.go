// Package memorystore is a storage in memory. It is the example of
// docs/contributing/writing-adapters.md, and a storage for tests.
package memorystore

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/laneswap/laneswap"
)

var _ laneswap.Storage = (*Store)(nil)

// Store is a laneswap.Storage. Its zero value is an empty storage. It is safe for
// concurrent use and starts no goroutine.
type Store struct {
	mu   sync.RWMutex // guards the fields below
	rows map[laneswap.Kind]map[string]stored
	seen map[string]time.Time
}

// stored is a row and the epoch of its writer. Its Data is replaced and never
// changed, so that a reader needs no lock.
type stored struct {
	laneswap.Row
	epoch uint64
}

// New returns an empty store.
func New() *Store { return &Store{} }

// Load is Storage.Load.
func (s *Store) Load(ctx context.Context) iter.Seq2[laneswap.Row, error] {
	return s.yield(ctx, func() []laneswap.Row {
		var rows []laneswap.Row
		for _, kind := range s.rows {
			for _, row := range kind {
				if row.Open {
					rows = append(rows, row.Row)
				}
			}
		}
		for service, at := range s.seen {
			rows = append(rows, laneswap.Row{Kind: laneswap.KindSeen, ID: service, Service: service, At: at, Open: true})
		}
		return rows
	})
}

// yield yields the rows that ask returns. No lock is held while the loop runs: its
// body may call every method, take its time, and leave early.
func (s *Store) yield(ctx context.Context, ask func() []laneswap.Row) iter.Seq2[laneswap.Row, error] {
	return func(yield func(laneswap.Row, error) bool) {
		s.mu.RLock()
		rows := ask()
		s.mu.RUnlock()
		for _, row := range rows {
			if ctx.Err() != nil {
				break
			}
			row.Data = bytes.Clone(row.Data) // it belongs to whoever receives it
			if !yield(row, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(laneswap.Row{}, err)
		}
	}
}

// Commit is Storage.Commit. It stops at the first error and keeps the rows before it,
// as a database without transactions would.
func (s *Store) Commit(ctx context.Context, b laneswap.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range b.Insert {
		if old, ok := s.rows[row.Kind][row.ID]; !ok {
			s.put(row, b.Epoch)
		} else if !same(old.Row, row) {
			return laneswap.ErrExists
		}
	}
	for _, row := range b.Put {
		if s.rows[row.Kind][row.ID].epoch > b.Epoch {
			return laneswap.ErrFenced
		}
		s.put(row, b.Epoch)
	}
	for _, k := range b.Delete {
		if k.Kind == laneswap.KindSeen {
			delete(s.seen, k.ID)
			continue
		}
		if s.rows[k.Kind][k.ID].epoch > b.Epoch {
			return laneswap.ErrFenced
		}
		delete(s.rows[k.Kind], k.ID)
	}
	for _, seen := range b.Seen {
		s.note(seen)
	}
	return nil
}

// put stores a row, with a copy of its Data: the slice belongs to the caller.
func (s *Store) put(row laneswap.Row, epoch uint64) {
	if s.rows == nil {
		s.rows = map[laneswap.Kind]map[string]stored{}
	}
	if s.rows[row.Kind] == nil {
		s.rows[row.Kind] = map[string]stored{}
	}
	row.Data = bytes.Clone(row.Data)
	s.rows[row.Kind][row.ID] = stored{row, epoch}
}

// note keeps the latest time of a service, whatever the epoch.
func (s *Store) note(seen laneswap.Seen) {
	if s.seen == nil {
		s.seen = map[string]time.Time{}
	}
	if before, ok := s.seen[seen.Service]; !ok || seen.At.After(before) {
		s.seen[seen.Service] = seen.At
	}
}

// same reports whether two rows of one kind and id have the same content. Times
// are compared by Equal: == would compare the zones too.
func same(a, b laneswap.Row) bool {
	return a.Service == b.Service && a.At.Equal(b.At) && a.Open == b.Open && bytes.Equal(a.Data, b.Data)
}

// Rows is Storage.Rows.
func (s *Store) Rows(ctx context.Context, q laneswap.RowQuery) iter.Seq2[laneswap.Row, error] {
	return s.yield(ctx, func() []laneswap.Row { return s.chosen(q) })
}

// chosen returns the rows that a query selects, in its order. mu is held.
func (s *Store) chosen(q laneswap.RowQuery) []laneswap.Row {
	order := inOrder
	if q.Descending {
		order = func(a, b laneswap.Row) int { return inOrder(b, a) }
	}
	var rows []laneswap.Row
	for _, row := range s.rows[q.Kind] {
		if (q.Service == "" || row.Service == q.Service) &&
			(q.From.IsZero() || !row.At.Before(q.From)) &&
			(q.To.IsZero() || row.At.Before(q.To)) &&
			(q.After == nil || order(*q.After, row.Row) < 0) {
			rows = append(rows, row.Row)
		}
	}
	slices.SortFunc(rows, order)
	if q.Limit > 0 && len(rows) > q.Limit {
		rows = rows[:q.Limit]
	}
	return rows
}

// inOrder is the order of Rows: by time, then by the bytes of the id.
func inOrder(a, b laneswap.Row) int {
	return cmp.Or(a.At.Compare(b.At), strings.Compare(a.ID, b.ID))
}

// Prune is Storage.Prune.
func (s *Store) Prune(ctx context.Context, k laneswap.Kind, before time.Time, limit int) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	pruned := 0
	for _, row := range s.chosen(laneswap.RowQuery{Kind: k, To: before}) {
		if pruned >= limit || !row.At.Before(before) {
			break
		}
		if !row.Open {
			delete(s.rows[k], row.ID)
			pruned++
		}
	}
	return pruned, nil
}
