package storagetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/laneswap/laneswap"
)

// keeping is that values belong to whoever got them.
var keeping = []test{
	{"Data_thatWasGivenMayBeChangedAfterwards", func(r *run) {
		row, other := event("a", "s", 1), event("b", "s", 1)
		given, put := with(row, func(*laneswap.Row) {}), with(other, func(*laneswap.Row) {})
		b := laneswap.Batch{Epoch: 1, Insert: []laneswap.Row{given}, Put: []laneswap.Row{put}, Seen: []laneswap.Seen{{Service: "s", At: at(1)}}}
		r.commit(b)
		for _, data := range [][]byte{given.Data, put.Data} {
			for i := range data {
				data[i] = '!'
			}
		}
		b.Insert[0], b.Put[0], b.Seen[0] = laneswap.Row{}, laneswap.Row{}, laneswap.Seen{}
		r.stored("as they were", laneswap.KindEvent, row, other)
		r.loaded("as it was", seenRow("s", at(1)))
	}},
	{"Data_thatWasYieldedMayBeChangedAfterwards", func(r *run) {
		row := event("a", "s", 1)
		row.Open = true
		neighbour := event("b", "s", 1)
		r.insert(row, neighbour)
		for name, source := range r.sources(r.ctx) {
			for got, err := range source {
				r.ok(name, err)
				for i := range got.Data {
					got.Data[i] = '!'
				}
				_ = append(got.Data, "beyond the end"...)
			}
			r.stored("as they were", laneswap.KindEvent, row, neighbour)
		}
	}},
	{"Data_thatWasYieldedStaysAsItWas", func(r *run) {
		rows := r.many(200)
		kept := r.rows(laneswap.RowQuery{Kind: laneswap.KindEvent})
		var keys []laneswap.Key
		for _, row := range rows {
			keys = append(keys, key(row))
		}
		r.commit(laneswap.Batch{Delete: keys})
		for i := range 20 {
			r.put(laneswap.Row{Kind: unheard, ID: "over it", Data: []byte(`"` + strings.Repeat(fmt.Sprint(i%10), 50<<10) + `"`)})
		}
		r.same("after all of it was deleted and written over", kept, rows)
	}},
}

// sharing is calls at the same time.
var sharing = []test{
	{"Concurrency_commitsAndReads", func(r *run) {
		const writers = 8
		rounds := r.scaled(25)
		var wg sync.WaitGroup
		errs := make(chan error, 2*writers)
		ctx, stop := context.WithCancel(r.ctx)
		defer stop()
		for w := range writers {
			wg.Go(func() {
				for i := range rounds {
					service := fmt.Sprint("w", w)
					b := laneswap.Batch{
						Epoch:  1,
						Insert: []laneswap.Row{event(fmt.Sprintf("%s-%d", service, i), service, i)},
						Put:    []laneswap.Row{{Kind: laneswap.KindService, ID: service, Service: service, At: at(i), Open: true, Data: fmt.Append(nil, i)}},
						Seen:   []laneswap.Seen{{Service: service, At: at(i)}, {Service: "shared", At: at(w*rounds + i)}},
					}
					if i > 0 {
						b.Delete = []laneswap.Key{{Kind: unheard, ID: fmt.Sprintf("%s-%d", service, i-1)}}
					}
					b.Put = append(b.Put, laneswap.Row{Kind: unheard, ID: fmt.Sprintf("%s-%d", service, i)})
					if err := r.Commit(r.ctx, b); err != nil {
						errs <- fmt.Errorf("commit of writer %d: %w", w, err)
						return
					}
				}
			})
		}
		var reading sync.WaitGroup
		for range 3 {
			reading.Go(func() {
				for ctx.Err() == nil {
					for _, q := range []laneswap.RowQuery{{Kind: laneswap.KindEvent}, {Kind: laneswap.KindEvent, Service: "w1", Descending: true}} {
						rows, err := collect(r.Rows(r.ctx, q))
						if err != nil {
							errs <- fmt.Errorf("rows: %w", err)
							return
						}
						if !slices.IsSortedFunc(rows, func(a, b laneswap.Row) int {
							if q.Descending {
								a, b = b, a
							}
							return inOrder(a, b)
						}) {
							errs <- fmt.Errorf("rows are out of order:%s", show(rows))
							return
						}
					}
					if _, err := collect(r.Load(r.ctx)); err != nil {
						errs <- fmt.Errorf("load: %w", err)
						return
					}
				}
			})
		}
		wg.Wait()
		stop()
		reading.Wait()
		close(errs)
		for err := range errs {
			r.Fatal(err)
		}
		var events, open, last []laneswap.Row
		open = append(open, seenRow("shared", at(writers*rounds-1)))
		for w := range writers {
			service := fmt.Sprint("w", w)
			for i := range rounds {
				events = append(events, event(fmt.Sprintf("%s-%d", service, i), service, i))
			}
			open = append(open, seenRow(service, at(rounds-1)),
				laneswap.Row{Kind: laneswap.KindService, ID: service, Service: service, At: at(rounds - 1), Open: true, Data: fmt.Append(nil, rounds-1)})
			last = append(last, laneswap.Row{Kind: unheard, ID: fmt.Sprintf("%s-%d", service, rounds-1)})
		}
		r.stored("all events", laneswap.KindEvent, events...)
		r.stored("what was not deleted", unheard, last...)
		r.loaded("the last states", open...)
	}},
	{"Concurrency_insertsOfOneRow", func(r *run) {
		const writers = 8
		var wg sync.WaitGroup
		errs := make([]error, writers)
		for w := range writers {
			wg.Go(func() {
				row := event("one", "s", 1)
				row.Data = fmt.Append(nil, w)
				errs[w] = r.Commit(r.ctx, laneswap.Batch{Epoch: 1, Insert: []laneswap.Row{row}})
			})
		}
		wg.Wait()
		won := -1
		for w, err := range errs {
			switch {
			case err == nil && won < 0:
				won = w
			case err == nil:
				r.Fatalf("both %d and %d have inserted their content", won, w)
			default:
				r.is("who came later", err, laneswap.ErrExists)
			}
		}
		if won < 0 {
			r.Fatal("nobody has inserted it")
		}
		r.stored("of who won", laneswap.KindEvent, with(event("one", "s", 1), func(row *laneswap.Row) { row.Data = fmt.Append(nil, won) }))
	}},
}

// reopening is what survives closing.
var reopening = []test{
	{"Reopen_keepsAll", func(r *run) {
		rows := tied()
		for i := range rows {
			rows[i].Kind = []laneswap.Kind{laneswap.KindEvent, unheard}[i%2]
		}
		large := laneswap.Row{Kind: laneswap.KindError, ID: "large", Data: []byte(`"` + strings.Repeat("x", 1<<20-2) + `"`)}
		r.commit(laneswap.Batch{Epoch: 3, Insert: append(slices.Clone(rows), large), Seen: []laneswap.Seen{{Service: "s", At: at(5)}, {Service: "ä", At: at(6)}}})
		var open []laneswap.Row
		for _, row := range rows {
			if row.Open {
				open = append(open, row)
			}
		}
		open = append(open, seenRow("s", at(5)), seenRow("ä", at(6)))
		for range 2 {
			r.Storage = r.reopen(r.T, r.Storage)
			for _, kind := range []laneswap.Kind{laneswap.KindEvent, unheard} {
				for _, service := range []string{"", "s"} {
					r.query("rows", rows, laneswap.RowQuery{Kind: kind, Service: service, Descending: true})
				}
			}
			r.stored("large", laneswap.KindError, large)
			r.loaded("open", open...)
			r.is("epochs", r.Commit(r.ctx, laneswap.Batch{Epoch: 2, Put: rows[:1]}), laneswap.ErrFenced)
			r.is("ids", r.Commit(r.ctx, laneswap.Batch{Epoch: 3, Insert: []laneswap.Row{with(rows[0], func(row *laneswap.Row) { row.Data = nil })}}), laneswap.ErrExists)
			r.commit(laneswap.Batch{Epoch: 1, Seen: []laneswap.Seen{{Service: "s", At: at(1)}}})
		}
	}},
	{"Reopen_keepsEachCommit", func(r *run) {
		var want []laneswap.Row
		for i := range 8 {
			row := event(fmt.Sprint(i), "s", i)
			r.insert(row)
			want = append(want, row)
			if i > 3 {
				r.commit(laneswap.Batch{Delete: []laneswap.Key{key(want[0])}})
				want = want[1:]
			}
			r.Storage = r.reopen(r.T, r.Storage)
			r.stored(fmt.Sprint("after ", i), laneswap.KindEvent, want...)
		}
	}},
}
