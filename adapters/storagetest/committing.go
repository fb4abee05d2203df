package storagetest

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
)

// committing is what a commit does to rows.
var committing = []test{
	{"Commit_keepsEveryTime", func(r *run) {
		for i, when := range []time.Time{
			{},
			time.Date(1, 1, 1, 0, 0, 0, int(time.Millisecond), time.UTC),
			time.Date(1582, 10, 15, 1, 2, 3, 0, time.UTC),
			time.Date(1969, 12, 31, 23, 59, 59, 999e6, time.UTC),
			time.Unix(0, 0).UTC(),
			time.Date(2024, 2, 29, 12, 0, 0, 123e6, time.UTC),
			time.Date(2262, 4, 12, 0, 0, 0, 0, time.UTC), // beyond 64 bits of nanoseconds
			time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC),
		} {
			row := laneswap.Row{Kind: laneswap.Kind(fmt.Sprint("time-", i)), ID: "a", At: when}
			r.insert(row)
			r.stored(when.String(), row.Kind, row)
			if got := r.rows(laneswap.RowQuery{Kind: row.Kind})[0].At; got.IsZero() != when.IsZero() {
				r.Fatalf("the zero time must stay the zero time: got %v of %v", got, when)
			}
		}
	}},
	{"Commit_keepsEveryID", func(r *run) {
		ids := []string{
			"a", " ", "  a ", "A", "a/b", `a\b`, "a.b", "$a", "_id", "{}", `"`, "'", "%00", "\n", "\t", "\x01", "\x7f",
			"ä", "a\u0308", "日本語", "🫀", "\u202e", "\ufeff", "\ufffd", strings.Repeat("x", 512), strings.Repeat("é", 256),
		}
		var rows []laneswap.Row
		for i, id := range ids {
			rows = append(rows, laneswap.Row{Kind: laneswap.KindEvent, ID: id, Service: id, At: at(i), Open: i%2 == 0, Data: []byte(`1`)})
		}
		r.insert(rows...)
		r.stored("all of them", laneswap.KindEvent, rows...)
		for _, row := range rows {
			r.same(fmt.Sprintf("of service %.40q", row.ID), r.rows(laneswap.RowQuery{Kind: row.Kind, Service: row.ID}), []laneswap.Row{row})
			r.commit(laneswap.Batch{Delete: []laneswap.Key{key(row)}})
		}
		r.stored("after deleting them", laneswap.KindEvent)
	}},
	{"Commit_keepsDataByteForByte", func(r *run) {
		large := []byte(`"` + strings.Repeat("0123456789abcdef", 1<<16-1) + `"`)
		for i, data := range [][]byte{
			nil, {}, []byte(`null`), []byte(`{ "b":1,  "a":2, "a":3 }` + "\n"), []byte(`{"t":"é🫀\u0000\ud800"}`),
			[]byte(`{"$set":{"a.b":1},"_id":0}`), []byte(`12345678901234567890.10`), large,
		} {
			row := laneswap.Row{Kind: laneswap.KindError, ID: fmt.Sprint(i), At: at(i), Data: data}
			r.put(row)
			r.same(fmt.Sprint("data ", i), r.rows(laneswap.RowQuery{Kind: row.Kind, From: at(i), To: at(i + 1)}), []laneswap.Row{row})
		}
	}},
	{"Commit_keepsKindsThatNobodyKnows", func(r *run) {
		var rows []laneswap.Row
		for _, kind := range []laneswap.Kind{unheard, "x", "a.b", "$k", "event2", "even", "Event", "ключ", laneswap.Kind(strings.Repeat("k", 64))} {
			row := laneswap.Row{Kind: kind, ID: "same id", Service: "s", At: at(0), Open: true, Data: []byte(`"` + kind + `"`)}
			rows = append(rows, row)
		}
		r.insert(rows...)
		for _, row := range rows {
			r.stored(string(row.Kind), row.Kind, row)
		}
		r.loaded("all are open", rows...)
		r.commit(laneswap.Batch{Delete: []laneswap.Key{key(rows[0])}})
		r.loaded("but the one that was deleted", rows[1:]...)
	}},
	{"Commit_ofNothingSucceeds", func(r *run) {
		r.commit(laneswap.Batch{})
		r.loaded("nothing")
	}},
	{"Commit_putReplacesTheWholeRow", func(r *run) {
		old := laneswap.Row{Kind: unheard, ID: "a", Service: "old", At: at(5), Open: true, Data: []byte(`{"old":1}`)}
		neighbour := laneswap.Row{Kind: unheard, ID: "b", Service: "old", At: at(5)}
		r.put(old, neighbour)
		for _, now := range []laneswap.Row{
			with(old, func(row *laneswap.Row) { row.Data = nil }),
			with(old, func(row *laneswap.Row) { row.At = at(-5) }),
			with(old, func(row *laneswap.Row) { row.Service = "new" }),
			with(old, func(row *laneswap.Row) { row.Service = "" }),
			with(old, func(row *laneswap.Row) { row.Open = false }),
			{Kind: unheard, ID: "a", Service: "new", At: at(7), Data: []byte(`{"new":1}`)},
			old,
		} {
			r.put(now)
			r.stored("by time", unheard, now, neighbour)
			for _, service := range []string{"old", "new"} {
				var want []laneswap.Row
				for _, row := range []laneswap.Row{now, neighbour} {
					if row.Service == service {
						want = append(want, row)
					}
				}
				got := r.rows(laneswap.RowQuery{Kind: unheard, Service: service})
				if now.Service == "old" && now.At.After(neighbour.At) {
					want[0], want[1] = want[1], want[0]
				}
				r.same("by service "+service, got, want)
			}
			if now.Open {
				r.loaded("while open", now)
			} else {
				r.loaded("while closed")
			}
		}
	}},
	{"Commit_deleteRemoves", func(r *run) {
		a, b := event("a", "s", 1), event("b", "s", 1)
		elsewhere := with(a, func(row *laneswap.Row) { row.Kind = unheard })
		r.insert(a, b, elsewhere)
		r.commit(laneswap.Batch{Delete: []laneswap.Key{key(a), key(a), {Kind: a.Kind, ID: "never there"}, {Kind: "no such kind", ID: "a"}}})
		r.stored("the other row", laneswap.KindEvent, b)
		r.stored("the same id of another kind", unheard, elsewhere)
		r.insert(with(a, func(row *laneswap.Row) { row.Data = []byte(`2`) }))
	}},
	{"Commit_insertOfTheSameSucceeds", func(r *run) {
		row := event("a", "s", 1)
		empty := laneswap.Row{Kind: unheard, ID: "empty"}
		r.insert(row, empty)
		r.insert(row, with(empty, func(row *laneswap.Row) { row.Data = []byte{} }), row)
		r.stored("one", laneswap.KindEvent, row)
	}},
	{"Commit_insertOfAnotherContentIsErrExists", func(r *run) {
		row := event("a", "s", 1)
		r.insert(row)
		for name, change := range map[string]func(*laneswap.Row){
			"service": func(row *laneswap.Row) { row.Service = "t" },
			"time":    func(row *laneswap.Row) { row.At = row.At.Add(time.Millisecond) },
			"open":    func(row *laneswap.Row) { row.Open = true },
			"data":    func(row *laneswap.Row) { row.Data = append(row.Data, ' ') },
			"no data": func(row *laneswap.Row) { row.Data = nil },
		} {
			other := with(row, change)
			behind := event("behind", "s", 2)
			err := r.Commit(r.ctx, laneswap.Batch{Epoch: 1, Insert: []laneswap.Row{other}, Put: []laneswap.Row{behind}})
			r.is("another "+name, err, laneswap.ErrExists)
			r.stored("as it was, and nothing behind it", laneswap.KindEvent, row)
		}
	}},
	{"Commit_appliesTheFieldsInOrder", func(r *run) {
		a1, b1, c1 := event("a", "s", 1), event("b", "s", 1), event("c", "s", 1)
		again := func(row *laneswap.Row) { row.At, row.Data, row.Open = at(9), []byte(`"put"`), true }
		a2, b2 := with(a1, again), with(b1, again)
		twice := with(c1, func(row *laneswap.Row) { row.Data = []byte(`"last"`) })
		r.commit(laneswap.Batch{
			Insert: []laneswap.Row{a1, b1},
			Put:    []laneswap.Row{a2, b2, c1, twice},
			Delete: []laneswap.Key{key(b1), {Kind: laneswap.KindSeen, ID: "s"}},
			Seen:   []laneswap.Seen{{Service: "s", At: at(1)}},
		})
		r.stored("inserted, put, deleted", laneswap.KindEvent, twice, a2)
		r.loaded("and seen last", a2, seenRow("s", at(1)))
	}},
	{"Commit_twiceIsOnce", func(r *run) {
		r.commit(laneswap.Batch{Put: []laneswap.Row{event("old", "s", 0), event("kept", "s", 0)}})
		b, want := mixed()
		for range 3 {
			r.commit(b)
			r.stored("events", laneswap.KindEvent, append(want, event("kept", "s", 0))...)
			r.loaded("seen", seenRow("s", at(3)))
		}
	}},
	{"Commit_ofABeginningAndThenOfAll", func(r *run) {
		whole, want := mixed()
		for i := range 8 {
			r.commit(laneswap.Batch{
				Put:    []laneswap.Row{event("old", "s", 0)},
				Delete: []laneswap.Key{key(event("i1", "", 0)), key(event("i2", "", 0)), key(event("p1", "", 0)), key(event("p2", "", 0)), {Kind: laneswap.KindSeen, ID: "s"}},
			})
			r.commit(beginning(whole, i))
			r.commit(whole)
			r.stored(fmt.Sprint("after the first ", i), laneswap.KindEvent, want...)
			r.loaded(fmt.Sprint("after the first ", i), seenRow("s", at(3)))
		}
	}},
	{"Commit_ofThousandsOfRows", func(r *run) {
		var rows []laneswap.Row
		n := r.scaled(3000)
		for i := range n {
			row := event(fmt.Sprintf("%x", uint32(i)*2654435761), fmt.Sprint("s", i%7), i%100)
			row.Data = bytes.Repeat([]byte{'1'}, i%300)
			rows = append(rows, row)
		}
		r.insert(rows...)
		r.stored("all", laneswap.KindEvent, rows...)
		var keys []laneswap.Key
		for _, row := range rows[:n-1] {
			keys = append(keys, key(row))
		}
		r.commit(laneswap.Batch{Delete: keys})
		r.stored("the last", laneswap.KindEvent, rows[n-1])
	}},
}

// mixed is a batch of two of each, and the events that are there after it if
// "old" was.
func mixed() (laneswap.Batch, []laneswap.Row) {
	i1, i2, p1, p2 := event("i1", "s", 1), event("i2", "t", 2), event("p1", "s", 3), event("p2", "", 4)
	return laneswap.Batch{
		Epoch:  1,
		Insert: []laneswap.Row{i1, i2},
		Put:    []laneswap.Row{p1, p2},
		Delete: []laneswap.Key{key(event("old", "", 0)), {Kind: laneswap.KindEvent, ID: "never"}},
		Seen:   []laneswap.Seen{{Service: "s", At: at(2)}, {Service: "s", At: at(3)}},
	}, []laneswap.Row{i1, i2, p1, p2}
}

// beginning is the first n things of a batch.
func beginning(b laneswap.Batch, n int) laneswap.Batch {
	cut := func(length int) int {
		taken := min(n, length)
		n -= taken
		return taken
	}
	b.Insert = b.Insert[:cut(len(b.Insert))]
	b.Put = b.Put[:cut(len(b.Put))]
	b.Delete = b.Delete[:cut(len(b.Delete))]
	b.Seen = b.Seen[:cut(len(b.Seen))]
	return b
}
