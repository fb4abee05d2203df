package storagetest

import (
	"bytes"
	"context"
	"iter"
	"sync"
	"time"

	"github.com/laneswap/laneswap"
)

// Memory is the model as a storage. Flaw makes it break one rule of the contract:
// the suite must find each.
type Memory struct {
	Flaw string

	mu    sync.Mutex // guards model
	model *model
}

func NewMemory(flaw string) *Memory { return &Memory{Flaw: flaw, model: newModel()} }

// Flaws are the rules that a Memory can break, each with a test that must fail.
var Flaws = map[string]string{
	"aliases what it is given":             "Data_thatWasGivenMayBeChangedAfterwards",
	"gives out what it keeps":              "Data_thatWasYieldedMayBeChangedAfterwards",
	"insert replaces":                      "Commit_insertOfAnotherContentIsErrExists",
	"insert of the same is refused":        "Commit_insertOfTheSameSucceeds",
	"insert of the same takes the row":     "Epoch_insertOfTheSameLeavesTheRowToItsWriter",
	"put is not fenced":                    "Epoch_aNewerWritersRowIsFenced",
	"delete is not fenced":                 "Epoch_aNewerWritersRowIsFenced",
	"the storage has one epoch":            "Epoch_isOfTheRowAndNotOfTheStorage",
	"delete of nothing is refused":         "Commit_deleteRemoves",
	"delete before put":                    "Commit_appliesTheFieldsInOrder",
	"seen goes back":                       "Seen_neverGoesBack",
	"seen is never forgotten":              "Seen_isForgottenByDelete",
	"seen is lost":                         "Seen_ofAThousandServices",
	"seen is a row":                        "Seen_isNoRowToRows",
	"load yields closed rows":              "Load_yieldsOpenRowsAndWhatWasSeen",
	"load yields a row twice":              "Load_yieldsEachOfThousandsOnce",
	"knows its kinds only":                 "Commit_keepsKindsThatNobodyKnows",
	"times are whole seconds":              "Commit_keepsEveryTime",
	"times are local":                      "Rows_areInOrder",
	"descending is ascending":              "Rows_areInOrder",
	"ties are in the order of length":      "Rows_areInOrder",
	"services are prefixes":                "Rows_areOfOneService",
	"from is exclusive":                    "Rows_areBoundByTime",
	"to is inclusive":                      "Rows_areBoundByTime",
	"after is inclusive":                   "Rows_arePagedInBothDirections",
	"after needs its row":                  "Rows_continueBehindARowThatIsGone",
	"limit is one too many":                "Rows_areLimited",
	"holds its lock while the loop runs":   "Iterator_bodyMayCallEveryMethod",
	"keeps its lock when the loop is left": "Iterator_mayBeLeftEarly",
	"ignores contexts":                     "Context_thatHasEndedRefusesEveryMethod",
	"ignores contexts in loops":            "Context_thatEndsInALoopEndsTheLoop",
	"prunes the newest first":              "Prune_takesTheOldestFirst",
	"prunes open rows":                     "Prune_keepsOpenRows",
	"prune counts too many":                "Prune_takesTheOldestFirst",
	"forgets on reopen":                    "Reopen_keepsAll",
	"an empty commit fails":                "Commit_ofNothingSucceeds",
	"prunes all kinds":                     "Prune_isOfOneKind",
	"a put keeps its old time":             "Random_operationsDoAsTheModel",
}

func (m *Memory) ended(ctx context.Context) error {
	if m.Flaw == "ignores contexts" {
		return nil
	}
	return ctx.Err()
}

func (m *Memory) Commit(ctx context.Context, b laneswap.Batch) error {
	if err := m.ended(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b, err := m.spoil(b)
	if err != nil {
		return err
	}
	err = m.model.apply(b)
	if m.Flaw == "aliases what it is given" {
		for _, row := range append(b.Insert, b.Put...) {
			if kept, ok := m.model.rows[key(row)]; ok && same(kept.row, row) {
				kept.row.Data = row.Data
				m.model.rows[key(row)] = kept
			}
		}
	}
	return err
}

// spoil changes a batch, or the rows that it meets, so that the model breaks a rule.
func (m *Memory) spoil(b laneswap.Batch) (laneswap.Batch, error) {
	put, del := true, true
	switch m.Flaw {
	case "an empty commit fails":
		if len(b.Insert)+len(b.Put)+len(b.Delete)+len(b.Seen) == 0 {
			return b, ErrFault
		}
	case "insert replaces":
		b.Put, b.Insert = append(b.Insert[:len(b.Insert):len(b.Insert)], b.Put...), nil
	case "insert of the same is refused", "insert of the same takes the row":
		for _, row := range b.Insert {
			if kept, ok := m.model.rows[key(row)]; ok && same(kept.row, row) {
				if m.Flaw == "insert of the same is refused" {
					return b, laneswap.ErrExists
				}
				kept.epoch = b.Epoch
				m.model.rows[key(row)] = kept
			}
		}
	case "put is not fenced":
		del = false
	case "delete is not fenced":
		put = false
	case "the storage has one epoch":
		for _, kept := range m.model.rows {
			if kept.epoch > b.Epoch {
				return b, laneswap.ErrFenced
			}
		}
	case "delete of nothing is refused":
		for _, k := range b.Delete {
			if _, ok := m.model.rows[k]; !ok && k.Kind != laneswap.KindSeen {
				return b, ErrFault
			}
		}
	case "delete before put":
		first := laneswap.Batch{Epoch: b.Epoch, Delete: b.Delete}
		b.Delete = nil
		return b, m.model.apply(first)
	case "seen goes back":
		for _, seen := range b.Seen {
			delete(m.model.seen, seen.Service)
		}
	case "seen is never forgotten":
		var keys []laneswap.Key
		for _, k := range b.Delete {
			if k.Kind != laneswap.KindSeen {
				keys = append(keys, k)
			}
		}
		b.Delete = keys
	case "seen is lost":
		b.Seen = b.Seen[:min(len(b.Seen), 900)]
	case "knows its kinds only", "times are whole seconds", "a put keeps its old time":
		b.Insert, b.Put = m.rows(b.Insert), m.rows(b.Put)
	}
	for _, row := range b.Put {
		if kept, ok := m.model.rows[key(row)]; ok && put && m.Flaw == "put is not fenced" {
			kept.epoch = 0
			m.model.rows[key(row)] = kept
		}
	}
	for _, k := range b.Delete {
		if kept, ok := m.model.rows[k]; ok && del && m.Flaw == "delete is not fenced" {
			kept.epoch = 0
			m.model.rows[k] = kept
		}
	}
	return b, nil
}

func (m *Memory) rows(rows []laneswap.Row) []laneswap.Row {
	var out []laneswap.Row
	for _, row := range rows {
		old, ok := m.model.rows[key(row)]
		switch {
		case m.Flaw == "knows its kinds only" && row.Kind != laneswap.KindEvent && row.Kind != laneswap.KindService && row.Kind != laneswap.KindError:
			continue
		case m.Flaw == "times are whole seconds":
			row.At = row.At.Truncate(time.Second)
		case m.Flaw == "a put keeps its old time" && ok:
			row.At = old.row.At
		}
		out = append(out, row)
	}
	return out
}

func (m *Memory) Load(ctx context.Context) iter.Seq2[laneswap.Row, error] {
	return m.iterate(ctx, func() []laneswap.Row {
		rows := m.model.load()
		switch m.Flaw {
		case "load yields closed rows":
			for _, kept := range m.model.rows {
				if !kept.row.Open {
					rows = append(rows, kept.row)
				}
			}
		case "load yields a row twice":
			if len(rows) > 1000 {
				rows = append(rows, rows[1000])
			}
		}
		return rows
	})
}

func (m *Memory) Rows(ctx context.Context, q laneswap.RowQuery) iter.Seq2[laneswap.Row, error] {
	return m.iterate(ctx, func() []laneswap.Row { return m.ask(q) })
}

func (m *Memory) iterate(ctx context.Context, ask func() []laneswap.Row) iter.Seq2[laneswap.Row, error] {
	return func(yield func(laneswap.Row, error) bool) {
		if err := m.ended(ctx); err != nil {
			yield(laneswap.Row{}, err)
			return
		}
		m.mu.Lock()
		rows := ask()
		if m.Flaw == "holds its lock while the loop runs" {
			defer m.mu.Unlock()
		} else if m.Flaw != "keeps its lock when the loop is left" {
			m.mu.Unlock()
		}
		for _, row := range rows {
			if err := m.ended(ctx); err != nil && m.Flaw != "ignores contexts in loops" {
				yield(laneswap.Row{}, err)
				return
			}
			if m.Flaw != "gives out what it keeps" {
				row.Data = bytes.Clone(row.Data)
			} else if kept, ok := m.model.rows[key(row)]; ok {
				row.Data = kept.row.Data
			}
			if m.Flaw == "times are local" {
				row.At = row.At.In(time.FixedZone("here", 3600))
			}
			if !yield(row, nil) {
				return
			}
		}
		if m.Flaw == "keeps its lock when the loop is left" {
			m.mu.Unlock()
		}
	}
}

func (m *Memory) ask(q laneswap.RowQuery) []laneswap.Row {
	switch m.Flaw {
	case "seen is a row":
		if q.Kind == laneswap.KindSeen {
			return m.model.load()
		}
	case "descending is ascending":
		q.Descending = false
	case "from is exclusive":
		if !q.From.IsZero() {
			q.From = q.From.Add(time.Millisecond)
		}
	case "to is inclusive":
		if !q.To.IsZero() {
			q.To = q.To.Add(time.Millisecond)
		}
	case "limit is one too many":
		if q.Limit > 0 {
			q.Limit++
		}
	case "after is inclusive":
		if q.After != nil {
			if kept, ok := m.model.rows[laneswap.Key{Kind: q.Kind, ID: q.After.ID}]; ok {
				return append([]laneswap.Row{kept.row}, m.model.query(q)...)
			}
		}
	case "after needs its row":
		if q.After != nil {
			if _, ok := m.model.rows[laneswap.Key{Kind: q.Kind, ID: q.After.ID}]; !ok {
				q.After = nil
			}
		}
	case "ties are in the order of length":
		rows := m.model.query(q)
		for i := 1; i < len(rows); i++ {
			if rows[i].At.Equal(rows[i-1].At) && len(rows[i].ID) < len(rows[i-1].ID) {
				rows[i], rows[i-1] = rows[i-1], rows[i]
			}
		}
		return rows
	case "services are prefixes":
		if service := q.Service; service != "" {
			q.Service = ""
			var out []laneswap.Row
			for _, row := range m.model.query(q) {
				if len(row.Service) >= len(service) && row.Service[:len(service)] == service {
					out = append(out, row)
				}
			}
			return out
		}
	}
	return m.model.query(q)
}

func (m *Memory) Prune(ctx context.Context, k laneswap.Kind, before time.Time, limit int) (int, error) {
	if err := m.ended(ctx); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch m.Flaw {
	case "prunes the newest first":
		n := 0
		for _, row := range m.model.query(laneswap.RowQuery{Kind: k, Descending: true, To: before}) {
			if !row.Open && n < limit {
				delete(m.model.rows, key(row))
				n++
			}
		}
		return n, nil
	case "prunes open rows":
		for k, kept := range m.model.rows {
			kept.row.Open = false
			m.model.rows[k] = kept
		}
	case "prune counts too many":
		return m.model.prune(k, before, limit) + 1, nil
	case "prunes all kinds":
		m.model.prune(unheard, before, limit)
	}
	return m.model.prune(k, before, limit), nil
}

// Reopen is the same storage: what is in memory survives as long as the test.
func (m *Memory) Reopen() *Memory {
	if m.Flaw == "forgets on reopen" {
		return NewMemory(m.Flaw)
	}
	return m
}
