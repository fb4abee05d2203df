package mongostore

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/laneswap/laneswap"
)

// maxTries bounds how often a commit tries again while other writers change the same
// rows.
const maxTries = 20

// wideRows is the number of rows that one command looks up or deletes.
const wideRows = 1000

// errContended is returned after maxTries.
var errContended = errors.New("mongostore: commit: another program keeps changing the same rows; let only one LaneSwap use the database")

// Commit applies a batch, in chunks. When it fails, a part of the batch stays applied;
// the same batch may be committed again.
//
// Rows to insert are written in their order. Rows to put and to delete are looked up
// first, so that nothing behind a fenced row is written; when a newer writer comes in
// between, rows of another collection may be.
func (s *Store) Commit(ctx context.Context, b laneswap.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(b.Insert)+len(b.Put)+len(b.Delete)+len(b.Seen) == 0 {
		return nil
	}
	if err := check(b); err != nil {
		return err
	}
	t, err := s.ready(ctx)
	if err != nil {
		return err
	}
	for rows := b.Insert; len(rows) > 0; {
		table, n := t.of(rows[0].Kind), 1
		for n < len(rows) && t.of(rows[n].Kind) == table {
			n++
		}
		if err := s.insert(ctx, table, rows[:n], b.Epoch); err != nil {
			return err
		}
		rows = rows[n:]
	}
	if err := s.put(ctx, t, b.Put, b.Epoch); err != nil {
		return err
	}
	if err := s.delete(ctx, t, b.Delete, b.Epoch); err != nil {
		return err
	}
	if err := s.noteSeen(ctx, t, b.Seen); err != nil {
		return err
	}
	s.mirror.note(b.Seen)
	return nil
}

// insert adds rows of one table, in order. The server has the last word on which
// of several writers was first.
func (s *Store) insert(ctx context.Context, t *table, rows []laneswap.Row, epoch uint64) error {
	for tries := 0; len(rows) > 0; {
		chunk := rows[:min(s.chunk, len(rows))]
		docs := make([]any, len(chunk))
		for i, row := range chunk {
			docs[i] = t.document(row, epoch)
		}
		done, duplicate := len(chunk), false
		err := s.call(ctx, "insert", func(ctx context.Context) error {
			_, err := t.coll.InsertMany(ctx, docs)
			if i, ok := isDuplicate(err); ok {
				done, duplicate, err = i, true, nil
			}
			return err
		})
		if err != nil {
			return err
		}
		rest := rows[len(chunk):]
		chunk, rows = chunk[done:], rows[done:]
		if !duplicate {
			tries = 0
			continue
		}
		if tries++; tries > maxTries {
			return errContended
		}
		// A batch that is repeated has many that are there: all are looked up at
		// once, and only the others are tried again.
		missing, err := s.compare(ctx, t, chunk)
		if err != nil {
			return err
		}
		if len(missing) < len(chunk) {
			tries = 0
		}
		if rows = rest; len(missing) > 0 {
			rows = append(missing, rest...)
		}
	}
	return nil
}

// compare returns which rows are not stored, or ErrExists when one is with
// another content.
func (s *Store) compare(ctx context.Context, t *table, rows []laneswap.Row) ([]laneswap.Row, error) {
	wanted := make(map[string]laneswap.Row, len(rows))
	for _, row := range rows {
		identity := t.identify(keyOf(row))
		if _, twice := wanted[identity]; !twice {
			wanted[identity] = row
		}
	}
	stored := make(map[string]bool, len(rows))
	filter := bson.D{{Key: t.identity, Value: bson.D{{Key: "$in", Value: t.identities(rows)}}}}
	err := s.scan(ctx, t.coll, filter, options.Find(), func(raw bson.Raw) bool {
		identity, _ := raw.Lookup(t.identity).StringValueOK()
		row, ok := t.decode(raw)
		if !ok && t.shared() {
			row, ok = adopt(raw)
		}
		stored[identity] = ok && same(row, wanted[identity])
		return true
	})
	if err != nil {
		return nil, err
	}
	var missing []laneswap.Row
	for _, row := range rows {
		identity := t.identify(keyOf(row))
		equal, there := stored[identity]
		switch {
		case !there:
			missing = append(missing, row)
		case !equal || !same(row, wanted[identity]):
			return nil, fmt.Errorf("mongostore: insert %s %.64q: %w", row.Kind, row.ID, laneswap.ErrExists)
		}
	}
	return missing, nil
}

func (t *table) identities(rows []laneswap.Row) bson.A {
	a := make(bson.A, len(rows))
	for i, row := range rows {
		a[i] = t.identify(keyOf(row))
	}
	return a
}

// put adds or replaces rows.
func (s *Store) put(ctx context.Context, t *tables, rows []laneswap.Row, epoch uint64) error {
	keys := make([]laneswap.Key, len(rows))
	for i, row := range rows {
		keys[i] = keyOf(row)
	}
	known, err := s.lookup(ctx, t, keys)
	if err != nil {
		return err
	}
	free, fenced := cut(keys, known, epoch)
	last := make(map[laneswap.Key]int, free)
	for i, k := range keys[:free] {
		last[k] = i
	}
	// States of services last: a restart finds out what is missing when a state is
	// older than its events, but not when it is newer than the runs before it.
	for _, table := range []*table{t.errors, t.rows, t.services} {
		var chunk []laneswap.Row
		for i, row := range rows[:free] {
			if t.of(row.Kind) == table && last[keys[i]] == i {
				chunk = append(chunk, row)
			}
		}
		for len(chunk) > 0 {
			n := min(s.chunk, len(chunk))
			if err := s.putChunk(ctx, t, table, chunk[:n], known, epoch); err != nil {
				return err
			}
			chunk = chunk[n:]
		}
	}
	return fenced
}

// putChunk puts different rows of one table. known is what was there just now.
func (s *Store) putChunk(ctx context.Context, all *tables, t *table, rows []laneswap.Row, known map[laneswap.Key]found, epoch uint64) error {
	for range maxTries {
		var docs []any
		var changes []mongo.WriteModel
		for _, row := range rows {
			if there, ok := known[keyOf(row)]; ok {
				changes = append(changes, t.update(there.id, row, epoch))
			} else {
				docs = append(docs, t.document(row, epoch))
			}
		}
		raced := false
		err := s.call(ctx, "put", func(ctx context.Context) error {
			if len(docs) > 0 {
				if _, err := t.coll.InsertMany(ctx, docs); err != nil {
					_, raced = isDuplicate(err)
					if !raced {
						return err
					}
				}
			}
			if len(changes) == 0 {
				return nil
			}
			result, err := t.coll.BulkWrite(ctx, changes)
			if err == nil && result.MatchedCount < int64(len(changes)) {
				raced = true
			}
			return err
		})
		if err != nil || !raced {
			return err
		}
		// Somebody has inserted or deleted one of them, or has a higher epoch.
		keys := make([]laneswap.Key, len(rows))
		for i, row := range rows {
			keys[i] = keyOf(row)
		}
		if known, err = s.lookup(ctx, all, keys); err != nil {
			return err
		}
		if _, fenced := cut(keys, known, epoch); fenced != nil {
			return fenced
		}
	}
	return errContended
}

// found is what is known of a document: its _id, and the epoch that has written
// it, 0 when it is of others.
type found struct {
	id    bson.RawValue
	epoch int64
}

// lookup finds which of some rows are stored.
func (s *Store) lookup(ctx context.Context, t *tables, keys []laneswap.Key) (map[laneswap.Key]found, error) {
	known := make(map[laneswap.Key]found, len(keys))
	for _, table := range t.all {
		names := map[string]laneswap.Key{}
		var in bson.A
		flush := func() error {
			if len(in) == 0 {
				return nil
			}
			filter := bson.D{{Key: table.identity, Value: bson.D{{Key: "$in", Value: in}}}}
			o := options.Find().SetProjection(bson.D{{Key: fID, Value: 1}, {Key: fEpoch, Value: 1}})
			in = nil
			return s.scan(ctx, table.coll, filter, o, func(raw bson.Raw) bool {
				identity, _ := raw.Lookup(table.identity).StringValueOK()
				epoch, _ := raw.Lookup(fEpoch).AsInt64OK()
				id := raw.Lookup("_id")
				id.Value = append([]byte(nil), id.Value...)
				if k, ok := names[identity]; ok && known[k].epoch <= epoch {
					known[k] = found{id, epoch}
				}
				return true
			})
		}
		for _, k := range keys {
			if t.of(k.Kind) != table {
				continue
			}
			identity := table.identify(k)
			if _, twice := names[identity]; twice {
				continue
			}
			names[identity] = k
			if in = append(in, identity); len(in) == wideRows {
				if err := flush(); err != nil {
					return nil, err
				}
			}
		}
		if err := flush(); err != nil {
			return nil, err
		}
	}
	return known, nil
}

// cut finds how many keys stand before the first that a newer writer has, and the
// error that ends the commit there.
func cut(keys []laneswap.Key, known map[laneswap.Key]found, epoch uint64) (int, error) {
	for i, k := range keys {
		if known[k].epoch > int64(epoch) {
			return i, fmt.Errorf("mongostore: change %s %.64q: %w", k.Kind, k.ID, laneswap.ErrFenced)
		}
	}
	return len(keys), nil
}

// delete removes rows, and forgets when services were seen.
func (s *Store) delete(ctx context.Context, t *tables, keys []laneswap.Key, epoch uint64) error {
	known, err := s.lookup(ctx, t, keys)
	if err != nil {
		return err
	}
	free, fenced := cut(keys, known, epoch)
	var forgotten []string
	names := map[*table]bson.A{}
	for _, k := range keys[:free] {
		if table := t.of(k.Kind); table != nil {
			names[table] = append(names[table], table.identify(k))
		} else {
			forgotten = append(forgotten, k.ID)
		}
	}
	removed := int64(0)
	for _, table := range t.all {
		for in := names[table]; len(in) > 0; {
			n := min(wideRows, len(in))
			filter := bson.D{{Key: table.identity, Value: bson.D{{Key: "$in", Value: in[:n]}}}, notNewer(epoch)}
			// Also where nothing was found: what was deleted before, and had no
			// majority then, has it when this returns.
			err := s.call(ctx, "delete", func(ctx context.Context) error {
				result, err := table.coll.DeleteMany(ctx, filter)
				if err == nil {
					removed += result.DeletedCount
				}
				return err
			})
			if err != nil {
				return err
			}
			in = in[n:]
		}
	}
	if err := s.forgetSeen(ctx, t, forgotten); err != nil {
		return err
	}
	if fenced != nil || removed >= int64(len(known)) {
		return fenced
	}
	// Fewer than were there: somebody else has deleted them, or has a higher epoch.
	if known, err = s.lookup(ctx, t, keys); err != nil {
		return err
	}
	_, fenced = cut(keys, known, epoch)
	return fenced
}
