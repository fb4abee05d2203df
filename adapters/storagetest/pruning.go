package storagetest

import (
	"fmt"
	"time"

	"github.com/laneswap/laneswap"
)

func (r *run) prune(kind laneswap.Kind, before time.Time, limit, want int) {
	r.Helper()
	n, err := r.Prune(r.ctx, kind, before, limit)
	r.ok("Prune", err)
	if n != want {
		r.Fatalf("pruned %d before %s with limit %d, want %d", n, before, limit, want)
	}
}

// pruning is what Prune deletes.
var pruning = []test{
	{"Prune_takesTheOldestFirst", func(r *run) {
		rows := make([]laneswap.Row, 0, 30)
		for i := range 30 {
			rows = append(rows, event(fmt.Sprintf("%02d", i), "s", i/3))
		}
		// Not in the order in which they were stored.
		for i := range rows {
			r.put(rows[(i*7+3)%len(rows)])
		}
		r.prune(laneswap.KindEvent, at(100), 4, 4)
		r.stored("by time, then by id", laneswap.KindEvent, rows[4:]...)
		r.prune(laneswap.KindEvent, at(3), 100, 5)
		r.stored("only those before", laneswap.KindEvent, rows[9:]...)
		r.prune(laneswap.KindEvent, at(3), 100, 0)
		r.prune(laneswap.KindEvent, at(3).Add(time.Millisecond), 100, 3)
		r.prune(laneswap.KindEvent, at(100), 0, 0)
		r.prune(laneswap.KindEvent, at(100), -1, 0)
		r.prune(laneswap.KindEvent, time.Time{}, 100, 0)
		r.prune("none", at(100), 100, 0)
		r.stored("the rest", laneswap.KindEvent, rows[12:]...)
		r.same("by service", r.rows(laneswap.RowQuery{Kind: laneswap.KindEvent, Service: "s"}), rows[12:])
		r.prune(laneswap.KindEvent, at(100), 1<<30, 18)
		r.stored("nothing", laneswap.KindEvent)
		r.insert(rows...)
		r.stored("all again", laneswap.KindEvent, rows...)
	}},
	{"Prune_keepsOpenRows", func(r *run) {
		var open, closed []laneswap.Row
		for i := range 40 {
			row := event(fmt.Sprintf("%02d", i), fmt.Sprint(i%3), i)
			if row.Open = i < 15 || i%2 == 0; row.Open {
				open = append(open, row)
			} else {
				closed = append(closed, row)
			}
		}
		r.insert(append(open, closed...)...)
		r.prune(laneswap.KindEvent, at(100), 3, 3)
		r.stored("open ones do not count", laneswap.KindEvent, append(open, closed[3:]...)...)
		r.prune(laneswap.KindEvent, at(100), 1000, len(closed)-3)
		r.stored("open ones stay", laneswap.KindEvent, open...)
		r.loaded("open", open...)
		closing := with(open[0], func(row *laneswap.Row) { row.Open = false })
		r.put(closing)
		r.prune(laneswap.KindEvent, at(100), 1000, 1)
		r.stored("once it is closed it goes", laneswap.KindEvent, open[1:]...)
	}},
	{"Prune_isOfOneKind", func(r *run) {
		other := with(event("a", "s", 1), func(row *laneswap.Row) { row.Kind = unheard })
		r.insert(event("a", "s", 1), other)
		r.prune(laneswap.KindEvent, at(100), 10, 1)
		r.stored("pruned", laneswap.KindEvent)
		r.stored("the other kind", unheard, other)
	}},
	{"Prune_goesByTheLastTime", func(r *run) {
		row := event("a", "s", 1)
		r.put(row)
		row.At = at(50)
		r.put(row)
		r.prune(laneswap.KindEvent, at(50), 10, 0)
		row.At = at(-50)
		r.put(row)
		r.prune(laneswap.KindEvent, at(-49), 10, 1)
		r.stored("gone", laneswap.KindEvent)
	}},
	{"Prune_ofThousands", func(r *run) {
		n := r.scaled(6000)
		rows := make([]laneswap.Row, n)
		for i := range rows {
			rows[i] = event(fmt.Sprintf("%05d", i), "s", i/10)
		}
		r.insert(rows...)
		r.commit(laneswap.Batch{Epoch: 9, Put: rows[:1]}) // pruning belongs to no writer
		r.prune(laneswap.KindEvent, at(1e6), n*11/12, n*11/12)
		r.stored("the newest", laneswap.KindEvent, rows[n*11/12:]...)
	}},
}
