package storagetest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
)

// unheard is a kind that no adapter knows.
const unheard laneswap.Kind = "storagetest/nobody-knows"

// noon is the time around which the rows of the tests are.
var noon = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)

// at is noon and some seconds.
func at(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

// event makes a row of a kind with indexes, whose content says its id.
func event(id, service string, seconds int) laneswap.Row {
	return laneswap.Row{Kind: laneswap.KindEvent, ID: id, Service: service, At: at(seconds), Data: []byte(`{"id":"` + id + `"}`)}
}

func with(row laneswap.Row, change func(*laneswap.Row)) laneswap.Row {
	row.Data = bytes.Clone(row.Data)
	change(&row)
	return row
}

func key(row laneswap.Row) laneswap.Key { return laneswap.Key{Kind: row.Kind, ID: row.ID} }

// seenRow is what Load makes of a Seen.
func seenRow(service string, when time.Time) laneswap.Row {
	return laneswap.Row{Kind: laneswap.KindSeen, ID: service, Service: service, At: when, Open: true}
}

// inOrder is the order of the contract: At, then ID by bytes. Kinds stand apart.
func inOrder(a, b laneswap.Row) int {
	return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), a.At.Compare(b.At), strings.Compare(a.ID, b.ID))
}

// same reports whether two rows are equal as they are stored.
func same(a, b laneswap.Row) bool {
	return a.Kind == b.Kind && a.ID == b.ID && a.Service == b.Service && a.At.Equal(b.At) &&
		a.Open == b.Open && bytes.Equal(a.Data, b.Data)
}

func show(rows []laneswap.Row) string {
	var b strings.Builder
	for i, row := range rows {
		if i == 20 {
			fmt.Fprintf(&b, "\n  and %d more", len(rows)-i)
			break
		}
		data := row.Data
		if len(data) > 60 {
			data = data[:60]
		}
		fmt.Fprintf(&b, "\n  %s/%.60q of %.60q at %s open=%v data(%d)=%s", row.Kind, row.ID, row.Service,
			row.At.Format(time.RFC3339Nano), row.Open, len(row.Data), data)
	}
	if len(rows) == 0 {
		return "\n  nothing"
	}
	return b.String()
}

// collect ranges over rows until the end or an error.
func collect(rows iter.Seq2[laneswap.Row, error]) ([]laneswap.Row, error) {
	var out []laneswap.Row
	for row, err := range rows {
		if err != nil {
			return out, err
		}
		out = append(out, row)
	}
	return out, nil
}

func (r *run) ok(what string, err error) {
	r.Helper()
	if err != nil {
		r.Fatalf("%s: %v", what, err)
	}
}

// is requires an error that errors.Is finds the wanted one in.
func (r *run) is(what string, err, want error) {
	r.Helper()
	if !errors.Is(err, want) {
		r.Fatalf("%s: got error %v, want %v", what, err, want)
	}
}

// same requires rows in this order, in UTC.
func (r *run) same(what string, got, want []laneswap.Row) {
	r.Helper()
	if !slices.EqualFunc(got, want, same) {
		r.Fatalf("%s: got %d rows:%s\nwant %d:%s", what, len(got), show(got), len(want), show(want))
	}
	for _, row := range got {
		if row.At.Location() != time.UTC {
			r.Fatalf("%s: the time of %q is in %s, not in UTC", what, row.ID, row.At.Location())
		}
	}
}

// commit commits a batch, with epoch 1 where it has none.
func (r *run) commit(b laneswap.Batch) {
	r.Helper()
	b.Epoch = max(b.Epoch, 1)
	r.ok("Commit", r.Commit(r.ctx, b))
}

func (r *run) insert(rows ...laneswap.Row) {
	r.Helper()
	r.commit(laneswap.Batch{Insert: rows})
}

func (r *run) put(rows ...laneswap.Row) {
	r.Helper()
	r.commit(laneswap.Batch{Put: rows})
}

// rows asks and returns what it gets.
func (r *run) rows(q laneswap.RowQuery) []laneswap.Row {
	r.Helper()
	rows, err := collect(r.Rows(r.ctx, q))
	r.ok("Rows", err)
	return rows
}

// stored requires that a kind holds these rows and no others.
func (r *run) stored(what string, kind laneswap.Kind, want ...laneswap.Row) {
	r.Helper()
	want = slices.SortedFunc(slices.Values(want), inOrder)
	r.same(what, r.rows(laneswap.RowQuery{Kind: kind}), want)
}

// load returns what Load yields, in order.
func (r *run) load() []laneswap.Row {
	r.Helper()
	rows, err := collect(r.Load(r.ctx))
	r.ok("Load", err)
	return slices.SortedFunc(slices.Values(rows), inOrder)
}

// loaded requires that Load yields these rows and no others.
func (r *run) loaded(what string, want ...laneswap.Row) {
	r.Helper()
	r.same(what, r.load(), slices.SortedFunc(slices.Values(want), inOrder))
}

// soon runs something that must not hang, and fails when it does.
func (r *run) soon(what string, do func() error) {
	r.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		r.ok(what, err)
	case <-time.After(r.patience / 2):
		r.Fatalf("%s: hangs", what)
	}
}
