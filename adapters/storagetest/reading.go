package storagetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/laneswap/laneswap"
)

// tied is a set of rows of which many have equal times, with ids whose order by
// bytes is none of a language.
func tied() []laneswap.Row {
	var rows []laneswap.Row
	for i, id := range []string{"a", "aa", "b", "B", "a b", "ä", "z", "🫀", "\ufffd", "1", "10", "2", "~", " "} {
		for j, seconds := range []int{0, 0, 5, -1e9} {
			row := event(fmt.Sprint(id, j), []string{"s", "t", "", "st"}[(i+j)%4], seconds)
			row.Open = (i*3+j)%5 == 0
			rows = append(rows, row)
		}
	}
	rows = append(rows,
		laneswap.Row{Kind: laneswap.KindEvent, ID: "first"},
		laneswap.Row{Kind: laneswap.KindEvent, ID: "zero", Service: "s"},
		laneswap.Row{Kind: laneswap.KindEvent, ID: "before 1970", At: time.Unix(-1, 0).UTC(), Open: true},
		laneswap.Row{Kind: laneswap.KindEvent, ID: "after 1970", At: time.Unix(1, 0).UTC()},
		laneswap.Row{Kind: laneswap.KindEvent, ID: "last", Service: "t", At: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)})
	return rows
}

// reading is what Rows selects, and in which order.
var reading = []test{
	{"Rows_areInOrder", func(r *run) {
		rows := tied()
		r.insert(rows...)
		r.insert(with(rows[0], func(row *laneswap.Row) { row.Kind = unheard }))
		slices.SortFunc(rows, inOrder)
		r.same("ascending", r.rows(laneswap.RowQuery{Kind: laneswap.KindEvent}), rows)
		slices.Reverse(rows)
		r.same("descending", r.rows(laneswap.RowQuery{Kind: laneswap.KindEvent, Descending: true}), rows)
		r.same("none of a kind", r.rows(laneswap.RowQuery{Kind: "none"}), nil)
	}},
	{"Rows_areOfOneService", func(r *run) {
		rows := tied()
		r.insert(rows...)
		for _, service := range []string{"s", "t", "st", "nobody's"} {
			r.query("of "+service, rows, laneswap.RowQuery{Kind: laneswap.KindEvent, Service: service})
			r.query("of "+service, rows, laneswap.RowQuery{Kind: laneswap.KindEvent, Service: service, Descending: true, Limit: 3})
		}
	}},
	{"Rows_areBoundByTime", func(r *run) {
		rows := tied()
		r.insert(rows...)
		bounds := []time.Time{{}, time.Time{}.Add(time.Millisecond), time.Unix(0, 0).UTC(), at(-1e9), at(0), at(0).Add(time.Millisecond), at(5), at(6), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)}
		for _, from := range bounds {
			for _, to := range bounds {
				for _, service := range []string{"", "s"} {
					for _, descending := range []bool{false, true} {
						r.query(fmt.Sprint(from, " to ", to), rows, laneswap.RowQuery{Kind: laneswap.KindEvent, Service: service, From: from, To: to, Descending: descending})
					}
				}
			}
		}
	}},
	{"Rows_areBoundByTimeInAnyZone", func(r *run) {
		rows := tied()
		r.insert(rows...)
		zone := time.FixedZone("east", 9*3600)
		r.query("in a zone", rows, laneswap.RowQuery{Kind: laneswap.KindEvent, From: at(0).In(zone), To: at(5).In(zone)})
	}},
	{"Rows_areLimited", func(r *run) {
		rows := tied()
		r.insert(rows...)
		for _, limit := range []int{-1, 0, 1, 2, len(rows) - 1, len(rows), len(rows) + 1, 1 << 30} {
			r.query(fmt.Sprint("limit ", limit), rows, laneswap.RowQuery{Kind: laneswap.KindEvent, Limit: limit})
		}
	}},
	{"Rows_arePagedInBothDirections", func(r *run) {
		rows := tied()
		r.insert(rows...)
		for _, q := range []laneswap.RowQuery{
			{}, {Service: "s"}, {From: at(-1e9), To: at(5)}, {Service: "t", From: at(0)}, {To: at(1)},
		} {
			q.Kind = laneswap.KindEvent
			for _, q.Descending = range []bool{false, true} {
				q.After, q.Limit = nil, 0
				want := chosen(rows, q)
				limits := []int{1, 2, 7}
				if r.scale > 1 {
					limits = limits[1:]
				}
				for _, q.Limit = range limits {
					q.After = nil
					var got []laneswap.Row
					for {
						page := r.rows(q)
						got = append(got, page...)
						if len(page) < q.Limit {
							break
						}
						// Only the place of the row matters.
						q.After = &laneswap.Row{ID: page[len(page)-1].ID, At: page[len(page)-1].At}
					}
					r.same(fmt.Sprintf("pages of %d, %+v", q.Limit, q), got, want)
				}
			}
		}
	}},
	{"Rows_continueBehindARowThatIsGone", func(r *run) {
		rows := slices.SortedFunc(slices.Values(tied()), inOrder)
		r.insert(rows...)
		for i, gone := range rows {
			if i%3 != 0 {
				continue
			}
			r.commit(laneswap.Batch{Delete: []laneswap.Key{key(gone)}})
			for _, descending := range []bool{false, true} {
				for _, service := range []string{"", "s"} {
					left := slices.DeleteFunc(slices.Clone(rows), func(row laneswap.Row) bool { return row.ID == gone.ID })
					r.query("behind "+gone.ID, left, laneswap.RowQuery{Kind: gone.Kind, Service: service, After: &gone, Descending: descending})
				}
			}
			r.put(gone)
		}
	}},
	{"Rows_continueBehindARowThatNeverWas", func(r *run) {
		rows := tied()
		r.insert(rows...)
		for _, after := range []laneswap.Row{
			{}, {ID: "m", At: at(0)}, {ID: "\U0010ffff", At: at(0)}, {ID: "a", At: at(-1)}, {At: at(5)}, {At: at(1e9)}, {ID: "z", At: time.Unix(0, 0).UTC()},
		} {
			for _, descending := range []bool{false, true} {
				for _, q := range []laneswap.RowQuery{{}, {Service: "s"}, {From: at(0)}, {To: at(1)}, {From: at(-1), To: at(0)}} {
					q.Kind, q.Descending, q.After = laneswap.KindEvent, descending, &after
					r.query(fmt.Sprintf("behind %q at %s", after.ID, after.At), rows, q)
				}
			}
		}
	}},
	{"Rows_ofThousandsComeInPagesThatFitTogether", func(r *run) {
		var rows []laneswap.Row
		n := r.scaled(3000)
		for i := range n {
			row := event(fmt.Sprintf("%05d", i), []string{"s", "t"}[i%2], i/400)
			row.Open = i%9 == 0
			rows = append(rows, row)
		}
		r.insert(rows...)
		for _, q := range []laneswap.RowQuery{{}, {Service: "s"}, {Limit: n - 100}, {Service: "t", Limit: n/2 - 100}} {
			for _, descending := range []bool{false, true} {
				q.Kind, q.Descending = laneswap.KindEvent, descending
				r.query("all", rows, q)
			}
		}
	}},
}

// chosen is what a query selects of rows of its kind, in order.
func chosen(rows []laneswap.Row, q laneswap.RowQuery) []laneswap.Row {
	rows = slices.SortedFunc(slices.Values(rows), inOrder)
	if q.Descending {
		slices.Reverse(rows)
	}
	var out []laneswap.Row
	for _, row := range rows {
		if q.After != nil {
			place := with(*q.After, func(after *laneswap.Row) { after.Kind = q.Kind })
			if order := inOrder(row, place); order == 0 || order > 0 == q.Descending {
				continue
			}
		}
		switch {
		case row.Kind != q.Kind,
			q.Service != "" && row.Service != q.Service,
			!q.From.IsZero() && row.At.Before(q.From),
			!q.To.IsZero() && !row.At.Before(q.To),
			q.Limit > 0 && len(out) == q.Limit:
			continue
		}
		out = append(out, row)
	}
	return out
}

// query asks and requires what the contract selects of the rows that are stored.
func (r *run) query(what string, stored []laneswap.Row, q laneswap.RowQuery) {
	r.Helper()
	r.same(fmt.Sprintf("%s, %+v", what, q), r.rows(q), chosen(stored, q))
}
