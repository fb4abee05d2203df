package mongostore

import (
	"context"
	"iter"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/laneswap/laneswap"
)

const (
	// pageRows and pageBytes are how much is read before it is yielded. No cursor
	// is open while the body of a loop runs: servers close those that wait.
	pageRows  = 1000
	pageBytes = 4 << 20
	// killWait bounds the farewell to a cursor that is left early.
	killWait = 200 * time.Millisecond
)

// scan reads what a filter selects, until the end or until each says no. What
// each gets is valid until it returns.
func (s *Store) scan(ctx context.Context, coll *mongo.Collection, filter bson.D, o *options.FindOptionsBuilder, each func(bson.Raw) bool) error {
	var cursor *mongo.Cursor
	err := s.call(ctx, "read", func(ctx context.Context) (err error) {
		cursor, err = coll.Find(ctx, filter, o)
		return err
	})
	if err != nil {
		return err
	}
	defer func() {
		if cursor.ID() != 0 {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killWait)
			defer cancel()
			_ = cursor.Close(ctx)
		}
	}()
	for {
		more := false
		if cursor.RemainingBatchLength() > 0 {
			more = cursor.Next(ctx)
		} else if err := s.call(ctx, "read", func(ctx context.Context) error {
			more = cursor.Next(ctx)
			return cursor.Err()
		}); err != nil {
			return err
		}
		if !more {
			return ctx.Err()
		}
		if !each(cursor.Current) {
			return nil
		}
	}
}

// page reads the first rows that a filter selects. more says that there may be
// others behind them.
func (s *Store) page(ctx context.Context, t *table, filter, order bson.D, limit int) (rows []laneswap.Row, last bson.Raw, more bool, err error) {
	o := options.Find().SetSort(order).SetLimit(int64(limit)).SetBatchSize(int32(limit))
	read, size := 0, 0
	err = s.scan(ctx, t.coll, filter, o, func(raw bson.Raw) bool {
		read++
		size += len(raw)
		last = raw
		if row, ok := t.decode(raw); ok {
			rows = append(rows, row)
		}
		more = size >= pageBytes
		if more || read == limit {
			last = append(bson.Raw(nil), raw...)
		}
		return !more
	})
	return rows, last, more || read == limit, err
}

// Load yields the open rows, the services that others have written to heartbeats
// among them, and when services were last seen.
func (s *Store) Load(ctx context.Context) iter.Seq2[laneswap.Row, error] {
	return sequence(ctx, func(yield func(laneswap.Row) bool) error {
		t, err := s.ready(ctx)
		if err != nil {
			return err
		}
		foreign, err := s.foreign(ctx, t.services)
		if err != nil {
			return err
		}
		for _, row := range foreign {
			if !yield(row) {
				return nil
			}
		}
		for _, table := range t.all {
			if done, err := s.loadTable(ctx, table, yield); done || err != nil {
				return err
			}
		}
		return s.loadSeen(ctx, t, yield)
	})
}

// loadTable yields the open rows of a table by their identity. done says that
// nobody wants more.
func (s *Store) loadTable(ctx context.Context, t *table, yield func(laneswap.Row) bool) (done bool, err error) {
	var after any
	for {
		filter := bson.D{{Key: fOpen, Value: true}}
		if after != nil {
			filter = append(filter, bson.E{Key: t.identity, Value: bson.D{{Key: "$gt", Value: after}}})
		}
		rows, last, more, err := s.page(ctx, t, filter, bson.D{{Key: t.identity, Value: 1}}, pageRows)
		if err != nil {
			return true, err
		}
		for _, row := range rows {
			if !yield(row) {
				return true, nil
			}
		}
		if !more {
			return false, nil
		}
		after = last.Lookup(t.identity)
	}
}

// Rows yields the rows that are selected, page by page.
func (s *Store) Rows(ctx context.Context, q laneswap.RowQuery) iter.Seq2[laneswap.Row, error] {
	if q.After != nil {
		after := laneswap.Row{ID: q.After.ID, At: q.After.At}
		q.After = &after // the caller may change its own
	}
	return sequence(ctx, func(yield func(laneswap.Row) bool) error {
		t, err := s.ready(ctx)
		if err != nil {
			return err
		}
		table := t.of(q.Kind)
		if table == nil {
			return nil
		}
		var foreign []laneswap.Row
		if table.shared() {
			if foreign, err = s.foreign(ctx, table); err != nil {
				return err
			}
			foreign = selected(foreign, q)
		}
		left := q.Limit
		// counted yields a row and says whether another one is wanted.
		counted := func(row laneswap.Row) bool {
			left--
			return yield(row) && left != 0
		}
		done, err := s.rowsTable(ctx, table, q, func(row laneswap.Row) bool {
			for len(foreign) > 0 && before(foreign[0], row, q.Descending) {
				next := foreign[0]
				foreign = foreign[1:]
				if !counted(next) {
					return false
				}
			}
			return counted(row)
		})
		if done || err != nil {
			return err
		}
		for _, row := range foreign {
			if !counted(row) {
				return nil
			}
		}
		return nil
	})
}

// rowsTable yields the rows of ours that are selected, in order. done says that
// nobody wants more.
func (s *Store) rowsTable(ctx context.Context, t *table, q laneswap.RowQuery, yield func(laneswap.Row) bool) (done bool, err error) {
	direction := 1
	if q.Descending {
		direction = -1
	}
	order := bson.D{{Key: fAt, Value: direction}, {Key: fID, Value: direction}}
	limit := pageRows
	if q.Limit > 0 {
		limit = min(limit, q.Limit)
	}
	for {
		rows, last, more, err := s.page(ctx, t, t.filter(q), order, limit)
		if err != nil {
			return true, err
		}
		for _, row := range rows {
			if !yield(row) {
				return true, nil
			}
		}
		if !more {
			return false, nil
		}
		at, _ := last.Lookup(fAt).DateTimeOK()
		id, _ := last.Lookup(fID).StringValueOK()
		q.After = &laneswap.Row{ID: id, At: time.UnixMilli(at)}
	}
}

// filter is what a query selects of documents of ours.
func (t *table) filter(q laneswap.RowQuery) bson.D {
	var d bson.D
	if !t.shared() {
		d = append(d, bson.E{Key: fKind, Value: string(q.Kind)})
	}
	if q.Service != "" {
		d = append(d, bson.E{Key: fService, Value: q.Service})
	}
	// Always bound below, so that documents of others, who have no such field, are
	// none of these.
	from, to := bson.DateTime(firstTime), bson.DateTime(lastTime+1)
	if !q.From.IsZero() {
		from = max(from, ceiling(q.From))
	}
	if !q.To.IsZero() {
		to = min(to, ceiling(q.To))
	}
	if q.After == nil {
		return append(d, within(from, to))
	}
	// The place is said twice: as a bound for the index, and to the byte.
	at, beyond := date(q.After.At), "$gt"
	if q.Descending {
		to, beyond = min(to, at+1), "$lt"
	} else {
		from = max(from, at)
	}
	return append(d, within(from, to), bson.E{Key: "$or", Value: bson.A{
		bson.D{{Key: fAt, Value: bson.D{{Key: beyond, Value: at}}}},
		bson.D{{Key: fAt, Value: at}, {Key: fID, Value: bson.D{{Key: beyond, Value: q.After.ID}}}},
	}})
}

func within(from, to bson.DateTime) bson.E {
	return bson.E{Key: fAt, Value: bson.D{{Key: "$gte", Value: from}, {Key: "$lt", Value: to}}}
}

// before reports whether a comes first.
func before(a, b laneswap.Row, descending bool) bool {
	return inOrder(a, b) < 0 != descending
}

// selected is what a query selects of rows in order, in its order and without its
// limit.
func selected(rows []laneswap.Row, q laneswap.RowQuery) []laneswap.Row {
	var out []laneswap.Row
	for i := range rows {
		row := rows[i]
		if q.Descending {
			row = rows[len(rows)-1-i]
		}
		if q.Service != "" && row.Service != q.Service || row.At.Before(q.From) || !q.To.IsZero() && !row.At.Before(q.To) {
			continue
		}
		if q.After != nil && (inOrder(row, *q.After) == 0 || before(row, *q.After, q.Descending)) {
			continue
		}
		out = append(out, row)
	}
	return out
}

// sequence makes an iterator: it looks at the context before each row, and yields
// an error as its last pair.
func sequence(ctx context.Context, run func(yield func(laneswap.Row) bool) error) iter.Seq2[laneswap.Row, error] {
	return func(yield func(laneswap.Row, error) bool) {
		left := false
		err := run(func(row laneswap.Row) bool {
			if ctx.Err() != nil {
				return false
			}
			left = !yield(row, nil)
			return !left
		})
		if left {
			return
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			yield(laneswap.Row{}, err)
		}
	}
}
