package storagetest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
)

// seeing is what becomes of Batch.Seen.
var seeing = []test{
	{"Seen_neverGoesBack", func(r *run) {
		for _, step := range []struct{ noted, want int }{{5, 5}, {3, 5}, {5, 5}, {6, 6}, {-100, 6}, {1e6, 1e6}} {
			r.commit(laneswap.Batch{Seen: []laneswap.Seen{{Service: "s", At: at(step.noted)}}})
			r.loaded(fmt.Sprint("after ", step.noted), seenRow("s", at(step.want)))
		}
		r.commit(laneswap.Batch{Seen: []laneswap.Seen{{Service: "t", At: at(2)}, {Service: "t", At: at(9)}, {Service: "t", At: at(4)}}})
		r.loaded("the latest of one batch", seenRow("s", at(1e6)), seenRow("t", at(9)))
	}},
	{"Seen_isForgottenByDelete", func(r *run) {
		r.commit(laneswap.Batch{Seen: []laneswap.Seen{{Service: "a", At: at(1)}, {Service: "b", At: at(2)}, {Service: "c", At: at(3)}}})
		r.commit(laneswap.Batch{Delete: []laneswap.Key{{Kind: laneswap.KindSeen, ID: "b"}, {Kind: laneswap.KindSeen, ID: "never"}}})
		r.loaded("without b", seenRow("a", at(1)), seenRow("c", at(3)))
		r.commit(laneswap.Batch{Seen: []laneswap.Seen{{Service: "b", At: at(-50)}}})
		r.loaded("b is new, and may be earlier", seenRow("a", at(1)), seenRow("b", at(-50)), seenRow("c", at(3)))
		r.commit(laneswap.Batch{Delete: []laneswap.Key{
			{Kind: laneswap.KindSeen, ID: "a"}, {Kind: laneswap.KindSeen, ID: "b"}, {Kind: laneswap.KindSeen, ID: "c"},
		}})
		r.loaded("nothing")
		r.commit(laneswap.Batch{Seen: []laneswap.Seen{{Service: "a", At: at(7)}}})
		r.loaded("again", seenRow("a", at(7)))
	}},
	{"Seen_keepsOddServicesAndTimes", func(r *run) {
		var seen []laneswap.Seen
		var want []laneswap.Row
		for i, service := range []string{" ", "\x01", "a", "a ", "A", "ä", "🫀", "{}", strings.Repeat("é", 256)} {
			when := []time.Time{{}, time.Date(1969, 7, 20, 20, 17, 40, 1e6, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)}[i%3]
			seen = append(seen, laneswap.Seen{Service: service, At: when})
			want = append(want, seenRow(service, when))
		}
		r.commit(laneswap.Batch{Seen: seen})
		r.loaded("all of them", want...)
	}},
	{"Seen_ofAThousandServices", func(r *run) {
		random := rand.New(rand.NewPCG(1, 2))
		want := map[string]time.Time{}
		note := func(n int) {
			var b laneswap.Batch
			for range n {
				seen := laneswap.Seen{Service: fmt.Sprintf("service-%d", random.IntN(1000)), At: at(random.IntN(1e6))}
				b.Seen = append(b.Seen, seen)
				if before, ok := want[seen.Service]; !ok || before.Before(seen.At) {
					want[seen.Service] = seen.At
				}
			}
			r.commit(b)
		}
		check := func(what string) {
			var rows []laneswap.Row
			for service, when := range want {
				rows = append(rows, seenRow(service, when))
			}
			r.loaded(what, rows...)
		}
		note(r.scaled(1000))
		check("at first")
		for range 10 {
			note(1)
		}
		note(r.scaled(5000))
		check("after one and after many")
		var gone laneswap.Batch
		for i := range r.scaled(1000) {
			if i%7 != 0 {
				service := fmt.Sprintf("service-%d", i)
				gone.Delete = append(gone.Delete, laneswap.Key{Kind: laneswap.KindSeen, ID: service})
				delete(want, service)
			}
		}
		r.commit(gone)
		check("most forgotten")
		note(r.scaled(300))
		check("and some again")
	}},
	{"Seen_isNoRowToRows", func(r *run) {
		r.commit(laneswap.Batch{Seen: []laneswap.Seen{{Service: "s", At: at(1)}}})
		r.stored("rows of the kind", laneswap.KindSeen)
		r.stored("nor of another", laneswap.KindService)
		n, err := r.Prune(r.ctx, laneswap.KindSeen, at(1000), 10)
		r.ok("Prune", err)
		if n != 0 {
			r.Fatalf("pruned %d", n)
		}
		r.loaded("still seen", seenRow("s", at(1)))
	}},
}

// loading is what Load yields.
var loading = []test{
	{"Load_yieldsOpenRowsAndWhatWasSeen", func(r *run) {
		r.loaded("nothing at first")
		open := func(row *laneswap.Row) { row.Open = true }
		a, b := with(event("a", "s", 1), open), with(event("b", "", 2), open)
		service := laneswap.Row{Kind: laneswap.KindService, ID: "s", Service: "s", At: at(0), Open: true, Data: []byte(`{}`)}
		closed := event("closed", "s", 1)
		r.commit(laneswap.Batch{Put: []laneswap.Row{a, b, service, closed}, Seen: []laneswap.Seen{{Service: "s", At: at(3)}}})
		r.loaded("open ones", a, b, service, seenRow("s", at(3)))
		a.Open = false
		closed.Open = true
		r.commit(laneswap.Batch{Put: []laneswap.Row{a, closed}, Delete: []laneswap.Key{key(b)}})
		r.loaded("closed, opened and deleted", closed, service, seenRow("s", at(3)))
	}},
	{"Load_yieldsEachOfThousandsOnce", func(r *run) {
		var want []laneswap.Row
		for kind := range 3 {
			var b laneswap.Batch
			for i := range r.scaled(1500) {
				row := laneswap.Row{Kind: laneswap.Kind(fmt.Sprint("kind", kind)), ID: fmt.Sprint(i), Service: fmt.Sprint(i), At: at(i / 50), Open: i%3 != 0, Data: []byte(`{"a":1}`)}
				b.Put = append(b.Put, row)
				if row.Open {
					want = append(want, row)
				}
			}
			r.commit(b)
		}
		r.loaded("all", want...)
	}},
}
