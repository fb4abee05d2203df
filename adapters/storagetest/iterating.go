package storagetest

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
)

// many inserts n open rows of KindEvent, more than an adapter reads at once.
func (r *run) many(n int) []laneswap.Row {
	r.Helper()
	rows := make([]laneswap.Row, n)
	for i := range rows {
		rows[i] = event(fmt.Sprintf("%05d", i), "s", i)
		rows[i].Open = true
	}
	r.insert(rows...)
	return rows
}

// sources are the two iterators over the rows of many.
func (r *run) sources(ctx context.Context) map[string]iter.Seq2[laneswap.Row, error] {
	return map[string]iter.Seq2[laneswap.Row, error]{
		"Load":            r.Load(ctx),
		"Rows":            r.Rows(ctx, laneswap.RowQuery{Kind: laneswap.KindEvent}),
		"Rows of service": r.Rows(ctx, laneswap.RowQuery{Kind: laneswap.KindEvent, Service: "s"}),
		"Rows backwards":  r.Rows(ctx, laneswap.RowQuery{Kind: laneswap.KindEvent, Descending: true}),
	}
}

// iterating is what the body of a loop may do.
var iterating = []test{
	{"Iterator_mayBeLeftEarly", func(r *run) {
		r.many(r.scaled(500))
		for name, source := range r.sources(r.ctx) {
			for after := range 5 {
				n := 0
				for _, err := range source {
					r.ok(name, err)
					if n++; n > after {
						break
					}
				}
				r.soon("a commit after leaving "+name, func() error {
					return r.Commit(r.ctx, laneswap.Batch{Epoch: 1, Put: []laneswap.Row{{Kind: unheard, ID: name}}})
				})
			}
		}
	}},
	{"Iterator_mayBeRangedOverAgain", func(r *run) {
		n := r.scaled(300)
		r.many(n)
		for name, source := range r.sources(r.ctx) {
			for range 2 {
				rows, err := collect(source)
				r.ok(name, err)
				if len(rows) != n {
					r.Fatalf("%s: %d rows of %d", name, len(rows), n)
				}
			}
		}
	}},
	{"Iterator_bodyMayCallEveryMethod", func(r *run) {
		n := r.scaled(700)
		r.many(n)
		for name, source := range r.sources(r.ctx) {
			r.soon(name, func() error {
				seen := 0
				for row, err := range source {
					if err != nil {
						return err
					}
					if seen++; seen%50 != 1 {
						continue
					}
					// Large, so that a storage that grows has to grow now.
					other := laneswap.Row{Kind: unheard, ID: row.ID, At: row.At, Data: []byte(`"` + strings.Repeat("x", 200<<10) + `"`)}
					if err := r.Commit(r.ctx, laneswap.Batch{Epoch: 1, Put: []laneswap.Row{other}, Seen: []laneswap.Seen{{Service: "s", At: row.At}}, Delete: []laneswap.Key{{Kind: laneswap.KindSeen, ID: "s"}}}); err != nil {
						return err
					}
					if _, err := collect(r.Rows(r.ctx, laneswap.RowQuery{Kind: laneswap.KindEvent, Limit: 5})); err != nil {
						return err
					}
					if _, err := r.Prune(r.ctx, unheard, at(1e6), 1); err != nil {
						return err
					}
				}
				if seen < n {
					return fmt.Errorf("%d rows of %d", seen, n)
				}
				return nil
			})
		}
	}},
	{"Iterator_yieldsWhatStaysWhileOthersCome", func(r *run) {
		rows := r.many(r.scaled(600))
		i := 0
		for row, err := range r.Rows(r.ctx, laneswap.RowQuery{Kind: laneswap.KindEvent, To: at(len(rows))}) {
			r.ok("Rows", err)
			if strings.HasPrefix(row.ID, "new") {
				continue
			}
			if row.ID != rows[i].ID {
				r.Fatalf("row %d is %q, want %q", i, row.ID, rows[i].ID)
			}
			if i%20 == 0 {
				// One before the place of the loop, one behind it, and the row itself.
				r.commit(laneswap.Batch{
					Put:    []laneswap.Row{event(fmt.Sprint("new", i), "s", i-1), event(fmt.Sprint("new too", i), "s", i+30)},
					Delete: []laneswap.Key{key(row)},
				})
			}
			i++
		}
		if i != len(rows) {
			r.Fatalf("%d rows of %d", i, len(rows))
		}
	}},
}

// ending is what an ended context does.
var ending = []test{
	{"Context_thatHasEndedRefusesEveryMethod", func(r *run) {
		rows := r.many(20)
		for want, make := range map[error]func() (context.Context, context.CancelFunc){
			context.Canceled: func() (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(r.ctx)
				cancel()
				return ctx, cancel
			},
			context.DeadlineExceeded: func() (context.Context, context.CancelFunc) {
				return context.WithDeadline(r.ctx, time.Unix(0, 0))
			},
		} {
			ctx, cancel := make()
			defer cancel()
			r.is("Commit", r.Commit(ctx, laneswap.Batch{Epoch: 1, Put: []laneswap.Row{event("late", "s", 1)}}), want)
			for name, source := range r.sources(ctx) {
				got, err := collect(source)
				r.is(name, err, want)
				if len(got) > 0 {
					r.Fatalf("%s yields %d rows", name, len(got))
				}
			}
			n, err := r.Prune(ctx, laneswap.KindEvent, at(1e6), 10)
			r.is("Prune", err, want)
			if n != 0 {
				r.Fatalf("pruned %d", n)
			}
		}
		r.stored("nothing happened", laneswap.KindEvent, rows...)
		r.put(event("after it", "s", 1))
	}},
	{"Context_thatEndsInALoopEndsTheLoop", func(r *run) {
		n := r.scaled(5000)
		r.many(n)
		for _, name := range []string{"Load", "Rows", "Rows of service", "Rows backwards"} {
			ctx, cancel := context.WithCancel(r.ctx)
			seen, failed := 0, 0
			for row, err := range r.sources(ctx)[name] {
				if err != nil {
					r.is(name, err, context.Canceled)
					if !same(row, laneswap.Row{}) {
						r.Fatalf("%s yields a row with its error: %s", name, show([]laneswap.Row{row}))
					}
					failed++
					continue
				}
				if failed > 0 {
					r.Fatalf("%s yields rows behind its error", name)
				}
				if seen++; seen == 3 {
					cancel()
				}
			}
			cancel()
			if failed != 1 || seen == n {
				r.Fatalf("%s: %d rows of %d, %d errors, want fewer and one", name, seen, n, failed)
			}
		}
		r.put(event("after it", "s", 1))
	}},
}
