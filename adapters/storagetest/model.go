package storagetest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/laneswap/laneswap"
)

// model is a storage as the contract describes it, on maps.
type model struct {
	rows map[laneswap.Key]kept
	seen map[string]time.Time
}

type kept struct {
	row   laneswap.Row
	epoch uint64
}

func newModel() *model {
	return &model{rows: map[laneswap.Key]kept{}, seen: map[string]time.Time{}}
}

func (m *model) clone() *model { return &model{rows: maps.Clone(m.rows), seen: maps.Clone(m.seen)} }

// apply does what Commit does. After an error a part of b is applied.
func (m *model) apply(b laneswap.Batch) error {
	for _, row := range b.Insert {
		if old, ok := m.rows[key(row)]; !ok {
			m.rows[key(row)] = kept{with(row, func(*laneswap.Row) {}), b.Epoch}
		} else if !same(old.row, row) {
			return laneswap.ErrExists
		}
	}
	for _, row := range b.Put {
		if m.rows[key(row)].epoch > b.Epoch {
			return laneswap.ErrFenced
		}
		m.rows[key(row)] = kept{with(row, func(*laneswap.Row) {}), b.Epoch}
	}
	for _, k := range b.Delete {
		if k.Kind == laneswap.KindSeen {
			delete(m.seen, k.ID)
			continue
		}
		if m.rows[k].epoch > b.Epoch {
			return laneswap.ErrFenced
		}
		delete(m.rows, k)
	}
	for _, seen := range b.Seen {
		if before, ok := m.seen[seen.Service]; !ok || before.Before(seen.At) {
			m.seen[seen.Service] = seen.At
		}
	}
	return nil
}

func (m *model) query(q laneswap.RowQuery) []laneswap.Row {
	var rows []laneswap.Row
	for k, v := range m.rows {
		if k.Kind == q.Kind {
			rows = append(rows, with(v.row, func(*laneswap.Row) {}))
		}
	}
	return chosen(rows, q)
}

func (m *model) load() []laneswap.Row {
	var rows []laneswap.Row
	for _, v := range m.rows {
		if v.row.Open {
			rows = append(rows, with(v.row, func(*laneswap.Row) {}))
		}
	}
	for service, when := range m.seen {
		rows = append(rows, seenRow(service, when))
	}
	return slices.SortedFunc(slices.Values(rows), inOrder)
}

func (m *model) prune(kind laneswap.Kind, before time.Time, limit int) int {
	n := 0
	for _, row := range m.query(laneswap.RowQuery{Kind: kind}) {
		if n < limit && !row.Open && row.At.Before(before) {
			delete(m.rows, key(row))
			n++
		}
	}
	return n
}

// guessing compares random operations with the model.
var guessing = []test{
	{"Random_operationsDoAsTheModel", func(r *run) {
		seed := r.seed
		if seed == 0 {
			seed = rand.Uint64() | 1
		}
		r.Logf("repeat with storagetest.WithSeed(%d)", seed)
		g := &guesser{run: r, random: rand.New(rand.NewPCG(seed, 0)), model: newModel()}
		for g.step = range g.scaled(400) {
			g.next()
		}
	}},
}

// guesser makes random operations, with few names and times, so that they meet.
type guesser struct {
	*run
	random *rand.Rand
	model  *model
	step   int
}

var guessedKinds = []laneswap.Kind{laneswap.KindService, laneswap.KindEvent, laneswap.KindError, unheard}

func (g *guesser) kind() laneswap.Kind { return guessedKinds[g.random.IntN(len(guessedKinds))] }
func (g *guesser) id() string          { return fmt.Sprint("id", g.random.IntN(12)) }
func (g *guesser) service() string {
	return []string{"", "s", "t", "st", "ä"}[g.random.IntN(5)]
}

func (g *guesser) time() time.Time {
	if g.random.IntN(20) == 0 {
		return time.Time{}
	}
	return at(g.random.IntN(8) - 4)
}

func (g *guesser) row() laneswap.Row {
	return laneswap.Row{
		Kind: g.kind(), ID: g.id(), Service: g.service(), At: g.time(), Open: g.random.IntN(3) == 0,
		Data: fmt.Appendf(nil, `{"n":%d}`, g.random.IntN(3)),
	}
}

func (g *guesser) batch() laneswap.Batch {
	b := laneswap.Batch{Epoch: uint64(1 + g.random.IntN(3))}
	for range g.random.IntN(3) {
		b.Insert = append(b.Insert, g.row())
	}
	for range g.random.IntN(4) {
		b.Put = append(b.Put, g.row())
	}
	for range g.random.IntN(3) {
		b.Delete = append(b.Delete, laneswap.Key{Kind: g.kind(), ID: g.id()})
	}
	if g.random.IntN(4) == 0 {
		b.Delete = append(b.Delete, laneswap.Key{Kind: laneswap.KindSeen, ID: g.id()})
	}
	for range g.random.IntN(4) {
		b.Seen = append(b.Seen, laneswap.Seen{Service: g.id(), At: g.time()})
	}
	return b
}

// commit commits a batch that the model accepts. A batch that it refuses is split
// into batches of one row, as the adapter chooses how much of it is applied.
func (g *guesser) commit() {
	for _, b := range single(g.batch(), g.random.IntN(2) == 0) {
		after := g.model.clone()
		want := after.apply(b)
		if want != nil && len(b.Insert)+len(b.Put)+len(b.Delete)+len(b.Seen) > 1 {
			continue
		}
		got := g.Commit(g.ctx, b)
		if !errors.Is(got, want) {
			g.Fatalf("step %d: commit of %+v: got error %v, want %v", g.step, b, got, want)
		}
		if want == nil {
			g.model = after
		}
	}
}

// single splits a batch into batches of one row or key, unless it is to stay whole.
func single(b laneswap.Batch, whole bool) []laneswap.Batch {
	if whole {
		return []laneswap.Batch{b}
	}
	var out []laneswap.Batch
	for i := range b.Insert {
		out = append(out, laneswap.Batch{Epoch: b.Epoch, Insert: b.Insert[i : i+1]})
	}
	for i := range b.Put {
		out = append(out, laneswap.Batch{Epoch: b.Epoch, Put: b.Put[i : i+1]})
	}
	for i := range b.Delete {
		out = append(out, laneswap.Batch{Epoch: b.Epoch, Delete: b.Delete[i : i+1]})
	}
	for i := range b.Seen {
		out = append(out, laneswap.Batch{Epoch: b.Epoch, Seen: b.Seen[i : i+1]})
	}
	return out
}

func (g *guesser) next() {
	switch g.random.IntN(10) {
	default:
		g.commit()
	case 0:
		kind, before, limit := g.kind(), g.time(), g.random.IntN(6)-1
		want := g.model.prune(kind, before, limit)
		got, err := g.Prune(g.ctx, kind, before, limit)
		if err != nil || got != want {
			g.Fatalf("step %d: prune of %s before %s, limit %d: got %d, %v, want %d", g.step, kind, before, limit, got, err, want)
		}
	case 1:
		if g.reopen != nil && g.random.IntN(3) == 0 {
			g.Storage = g.reopen(g.T, g.Storage)
		}
	case 2, 3, 4:
		q := laneswap.RowQuery{Kind: g.kind(), Service: g.service(), Descending: g.random.IntN(2) == 0, Limit: g.random.IntN(6) - 1}
		if g.random.IntN(3) == 0 {
			q.From = g.time()
		}
		if g.random.IntN(3) == 0 {
			q.To = g.time()
		}
		if g.random.IntN(2) == 0 {
			q.After = &laneswap.Row{ID: g.id(), At: g.time()}
		}
		g.same(fmt.Sprintf("step %d: rows of %+v", g.step, q), g.rows(q), g.model.query(q))
		g.same(fmt.Sprintf("step %d: load", g.step), g.load(), g.model.load())
	}
}
