package storagetest

import (
	"github.com/laneswap/laneswap"
)

// fencing is what epochs do.
var fencing = []test{
	{"Epoch_aNewerWritersRowIsFenced", func(r *run) {
		row, free := event("a", "s", 1), event("free", "s", 2)
		r.commit(laneswap.Batch{Epoch: 7, Insert: []laneswap.Row{row}})
		r.commit(laneswap.Batch{Epoch: 6, Insert: []laneswap.Row{free}})
		other := with(row, func(row *laneswap.Row) { row.Data = []byte(`"late"`) })
		for name, b := range map[string]laneswap.Batch{
			"put":             {Epoch: 6, Put: []laneswap.Row{other}, Delete: []laneswap.Key{key(free)}},
			"put of the same": {Epoch: 6, Put: []laneswap.Row{row}, Delete: []laneswap.Key{key(free)}},
			"delete":          {Epoch: 6, Delete: []laneswap.Key{key(row), key(free)}},
			"much older":      {Epoch: 1, Delete: []laneswap.Key{key(row), key(free)}},
		} {
			r.is(name, r.Commit(r.ctx, b), laneswap.ErrFenced)
			r.stored("as it was, and what stood behind it too", laneswap.KindEvent, row, free)
		}
	}},
	{"Epoch_ownAndOlderRowsAreChanged", func(r *run) {
		row := event("a", "s", 1)
		for _, epoch := range []uint64{1, 1, 2, 2, 1 << 40, 1<<63 - 1} {
			row.At = row.At.Add(1e9)
			r.commit(laneswap.Batch{Epoch: epoch, Put: []laneswap.Row{row}})
			r.stored("put", laneswap.KindEvent, row)
		}
		r.is("and then nobody older", r.Commit(r.ctx, laneswap.Batch{Epoch: 1 << 40, Put: []laneswap.Row{row}}), laneswap.ErrFenced)
		r.commit(laneswap.Batch{Epoch: 1<<63 - 1, Delete: []laneswap.Key{key(row)}})
		r.stored("deleted", laneswap.KindEvent)
		r.commit(laneswap.Batch{Epoch: 1, Put: []laneswap.Row{row}})
		r.stored("what is gone fences nobody", laneswap.KindEvent, row)
	}},
	{"Epoch_isOfTheRowAndNotOfTheStorage", func(r *run) {
		newer, older := event("newer", "s", 1), event("older", "s", 1)
		r.commit(laneswap.Batch{Epoch: 1, Put: []laneswap.Row{older}})
		r.commit(laneswap.Batch{Epoch: 9, Put: []laneswap.Row{newer}})
		older.Data = []byte(`"still mine"`)
		r.commit(laneswap.Batch{Epoch: 1, Put: []laneswap.Row{older}, Delete: []laneswap.Key{{Kind: unheard, ID: "newer"}}})
		r.stored("both", laneswap.KindEvent, newer, older)
	}},
	{"Epoch_insertOfTheSameLeavesTheRowToItsWriter", func(r *run) {
		row := event("a", "s", 1)
		r.commit(laneswap.Batch{Epoch: 5, Insert: []laneswap.Row{row}})
		r.commit(laneswap.Batch{Epoch: 3, Insert: []laneswap.Row{row}})
		r.is("an older writer", r.Commit(r.ctx, laneswap.Batch{Epoch: 3, Put: []laneswap.Row{row}}), laneswap.ErrFenced)
		r.commit(laneswap.Batch{Epoch: 8, Insert: []laneswap.Row{row}})
		r.commit(laneswap.Batch{Epoch: 5, Put: []laneswap.Row{row}})
		other := with(row, func(row *laneswap.Row) { row.Service = "t" })
		r.is("another content", r.Commit(r.ctx, laneswap.Batch{Epoch: 9, Insert: []laneswap.Row{other}}), laneswap.ErrExists)
	}},
	{"Epoch_doesNotMatterToSeen", func(r *run) {
		r.commit(laneswap.Batch{Epoch: 9, Seen: []laneswap.Seen{{Service: "s", At: at(1)}, {Service: "t", At: at(1)}}})
		r.commit(laneswap.Batch{Epoch: 1, Seen: []laneswap.Seen{{Service: "s", At: at(2)}}, Delete: []laneswap.Key{{Kind: laneswap.KindSeen, ID: "t"}}})
		r.loaded("by the older writer", seenRow("s", at(2)))
	}},
}
