package boltstore

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/laneswap/laneswap"
)

// Limits of the contract.
const (
	maxKind = 64
	maxID   = 512
)

// pruneStep is how many rows one transaction prunes, so that commits get their turn.
const pruneStep = 2000

// contextStep is after how many rows a transaction checks its context.
const contextStep = 512

// Commit is Storage.Commit. It applies the whole batch in one transaction, or nothing.
func (s *Store) Commit(ctx context.Context, b laneswap.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := validate(b); err != nil {
		return err
	}
	b = owned(b)
	return s.transact(ctx, true, func(tx *bbolt.Tx) error { return apply(ctx, tx, b) })
}

// owned copies a batch: the transaction may outlast the call.
func owned(b laneswap.Batch) laneswap.Batch {
	size := 0
	for _, rows := range [][]laneswap.Row{b.Insert, b.Put} {
		for i := range rows {
			size += len(rows[i].Data)
		}
	}
	data := make([]byte, 0, size)
	clone := func(rows []laneswap.Row) []laneswap.Row {
		out := make([]laneswap.Row, len(rows))
		for i, row := range rows {
			from := len(data)
			data = append(data, row.Data...)
			row.Data = data[from:]
			out[i] = row
		}
		return out
	}
	// Sorted here, outside of the transaction.
	seen := slices.SortedFunc(slices.Values(b.Seen), byService)
	return laneswap.Batch{Epoch: b.Epoch, Insert: clone(b.Insert), Put: clone(b.Put), Delete: slices.Clone(b.Delete), Seen: seen}
}

// validate refuses rows that the order of keys could not find again.
func validate(b laneswap.Batch) error {
	for _, rows := range [][]laneswap.Row{b.Insert, b.Put} {
		for i := range rows {
			row := &rows[i]
			if row.Kind == "" || len(row.Kind) > maxKind || row.Kind == laneswap.KindSeen || strings.Contains(string(row.Kind), "\x00") {
				return fmt.Errorf("%w: the kind %.80q is not 1 to 64 bytes without NUL, or is reserved", ErrInvalidRow, row.Kind)
			}
			if row.ID == "" || len(row.ID) > maxID || strings.Contains(row.ID, "\x00") {
				return fmt.Errorf("%w: the id %.80q of a row of kind %s is not 1 to 512 bytes without NUL", ErrInvalidRow, row.ID, row.Kind)
			}
			if len(row.Service) > maxID || strings.Contains(row.Service, "\x00") {
				return fmt.Errorf("%w: the service %.80q of a row of kind %s is longer than 512 bytes or has a NUL", ErrInvalidRow, row.Service, row.Kind)
			}
		}
	}
	for _, seen := range b.Seen {
		if seen.Service == "" || len(seen.Service) > maxID || strings.Contains(seen.Service, "\x00") {
			return fmt.Errorf("%w: the service %.80q with a last-seen time is not 1 to 512 bytes without NUL", ErrInvalidRow, seen.Service)
		}
	}
	return nil
}

// writer applies batches within one transaction.
type writer struct {
	tx    *bbolt.Tx
	kinds map[laneswap.Kind]*trees
}

func (w *writer) trees(kind laneswap.Kind) (*trees, error) {
	if t := w.kinds[kind]; t != nil {
		return t, nil
	}
	t, err := makeTrees(w.tx, kind)
	if err == nil {
		// Rows come mostly in the order of time, so full pages stay as they are.
		t.shut.FillPercent = 0.9
		w.kinds[kind] = t
	}
	return t, err
}

// stored returns the row with an id, nil when there is none.
func (t *trees) stored(id string) (*record, error) {
	p, ok, err := t.find(id)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if !ok {
		return nil, nil
	}
	r, err := t.get(p.tag, orderKey(p.at, id))
	if err != nil {
		return nil, err
	}
	return &r, nil
}

func apply(ctx context.Context, tx *bbolt.Tx, b laneswap.Batch) error {
	w := &writer{tx: tx, kinds: map[laneswap.Kind]*trees{}}
	seq, err := tx.Bucket([]byte(bucketMeta)).NextSequence()
	if err != nil {
		return err
	}
	done := 0
	for i, row := range append(b.Insert, b.Put...) {
		if done++; done%contextStep == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := w.write(&record{Row: row, epoch: b.Epoch, seq: seq}, i < len(b.Insert)); err != nil {
			return err
		}
	}
	var forgotten []string
	for _, key := range b.Delete {
		if done++; done%contextStep == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if key.Kind == laneswap.KindSeen {
			forgotten = append(forgotten, key.ID)
		} else if err := w.remove(key, b.Epoch); err != nil {
			return err
		}
	}
	return note(tx, b.Seen, forgotten)
}

// write inserts or puts one row.
func (w *writer) write(r *record, insert bool) error {
	t, err := w.trees(r.Kind)
	if err != nil {
		return err
	}
	old, err := t.stored(r.ID)
	if err != nil {
		return err
	}
	switch {
	case old == nil:
	case insert:
		if old.Service != r.Service || !old.At.Equal(r.At) || old.Open != r.Open || !bytes.Equal(old.Data, r.Data) {
			return fmt.Errorf("boltstore: insert %s %.80q: %w", r.Kind, r.ID, laneswap.ErrExists)
		}
		return nil
	case old.epoch > r.epoch:
		return fmt.Errorf("boltstore: put %s %.80q: %w", r.Kind, r.ID, laneswap.ErrFenced)
	}
	return t.put(r, old)
}

func (w *writer) remove(key laneswap.Key, epoch uint64) error {
	if key.ID == "" {
		return nil
	}
	t, ok := w.kinds[key.Kind]
	if !ok {
		if t, ok = openTrees(w.tx, key.Kind); !ok {
			return nil
		}
		w.kinds[key.Kind] = t
	}
	old, err := t.stored(key.ID)
	if err != nil || old == nil {
		return err
	}
	if old.epoch > epoch {
		return fmt.Errorf("boltstore: delete %s %.80q: %w", key.Kind, key.ID, laneswap.ErrFenced)
	}
	return t.remove(old)
}

// Prune is Storage.Prune. It deletes in transactions of at most 2,000 rows. With an
// error it returns the number of rows that it has deleted.
func (s *Store) Prune(ctx context.Context, k laneswap.Kind, before time.Time, limit int) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	total := 0
	for total < limit {
		want := min(limit-total, pruneStep)
		var gone int
		if err := s.transact(ctx, true, func(tx *bbolt.Tx) (err error) {
			gone, err = prune(tx, k, before, want)
			return err
		}); err != nil {
			return total, err
		}
		if total += gone; gone < want {
			break
		}
	}
	return total, nil
}

func prune(tx *bbolt.Tx, k laneswap.Kind, before time.Time, limit int) (int, error) {
	t, ok := openTrees(tx, k)
	if !ok {
		return 0, nil
	}
	end := appendTime(nil, ceiling(before))
	var old []record
	c := t.shut.Cursor()
	for key, value := c.First(); key != nil && len(old) < limit && bytes.Compare(key, end) < 0; key, value = c.Next() {
		r, err := decodeRecord(key, value)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		old = append(old, r)
	}
	// A cursor loses its place when its bucket changes.
	for i := range old {
		if err := t.remove(&old[i]); err != nil {
			return 0, err
		}
	}
	return len(old), nil
}
