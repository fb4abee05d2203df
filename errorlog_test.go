package laneswap_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// numbered reports n errors, some of them in one millisecond, and returns them
// newest first.
func numbered(t *testing.T, m *laneswap.Manager, id laneswap.ServiceID, n int) (recs []laneswap.ErrorRecord) {
	t.Helper()
	for i := range n {
		recs = append(recs, reportError(t, m, id, laneswap.ErrorReport{Type: "E", Message: fmt.Sprint(i)}))
		if i%7 == 0 {
			time.Sleep(time.Second)
		}
	}
	slices.Reverse(recs)
	return recs
}

func TestErrors_aStorageKeepsAsManyAsTheLimitSays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		limits := laneswap.WithLimits(laneswap.Limits{Errors: 30})
		m := startWithStorage(t, disk, limits)
		register(t, m.Manager, laneswap.Registration{ID: "svc"})
		register(t, m.Manager, laneswap.Registration{ID: "other"})
		kept := numbered(t, m.Manager, "other", 5)
		recs := numbered(t, m.Manager, "svc", 100)
		require.NoError(t, m.Sync(t.Context()))
		require.Equal(t, recs[:30], errorsOf(t, m.Manager, "svc", laneswap.ErrorQuery{}))
		require.Equal(t, kept, errorsOf(t, m.Manager, "other", laneswap.ErrorQuery{}))
		require.Equal(t, 35, countRows(t, disk, laneswap.KindError))
		m.stop(t)

		m = startWithStorage(t, disk, limits)
		require.Equal(t, recs[:30], errorsOf(t, m.Manager, "svc", laneswap.ErrorQuery{}), "after a restart")
		more := reportError(t, m.Manager, "svc", laneswap.ErrorReport{Type: "E"})
		require.Equal(t, append([]laneswap.ErrorRecord{more}, recs[:29]...), errorsOf(t, m.Manager, "svc", laneswap.ErrorQuery{}))
		require.NoError(t, m.Remove(t.Context(), "svc"))
		require.Equal(t, 5, countRows(t, disk, laneswap.KindError), "nothing of a removed service is left")
		m.stop(t)
	})
}

func TestErrors_withoutAStorageAHundredAreKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		register(t, m, laneswap.Registration{ID: "svc"})
		recs := numbered(t, m, "svc", 130)
		require.Equal(t, recs[:100], errorsOf(t, m, "svc", laneswap.ErrorQuery{}))

		// Large ones are fewer, and never more than 64 KiB.
		for i := range 10 {
			reportError(t, m, "svc", laneswap.ErrorReport{Type: "large", Stack: strings.Repeat("x", 20<<10), Message: fmt.Sprint(i)})
		}
		large := errorsOf(t, m, "svc", laneswap.ErrorQuery{})
		require.Len(t, large, 3)
		require.Equal(t, []string{"9", "8", "7"}, []string{large[0].Message, large[1].Message, large[2].Message})
		require.NoError(t, m.Remove(t.Context(), "svc"))
		register(t, m, laneswap.Registration{ID: "svc"})
		require.Empty(t, errorsOf(t, m, "svc", laneswap.ErrorQuery{}))
	})
}

func TestErrors_pagesMeetAtTheIDBefore(t *testing.T) {
	t.Parallel()
	for _, stored := range []bool{false, true} {
		for _, size := range []int{1, 7, 60, 61} {
			t.Run(fmt.Sprint("stored ", stored, " size ", size), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					m := laneswap.NewManager()
					if stored {
						m = startWithStorage(t, memorystore.New()).Manager
					}
					register(t, m, laneswap.Registration{ID: "svc"})
					recs := numbered(t, m, "svc", 60)
					var got []laneswap.ErrorRecord
					q := laneswap.ErrorQuery{Limit: size}
					for page := errorsOf(t, m, "svc", q); len(page) > 0; page = errorsOf(t, m, "svc", q) {
						require.LessOrEqual(t, len(page), size)
						got = append(got, page...)
						q.Before = page[len(page)-1].ID
						if size > 1 { // without a storage the oldest would go
							reportError(t, m, "svc", laneswap.ErrorReport{Type: "meanwhile"})
						}
					}
					require.Equal(t, recs, got, "newest first, each once, whatever was reported meanwhile")
				})
			})
		}
	}
}

func TestErrors_survivesACrashAndNumbersGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newCrashStorage(memorystore.New())
		m := startWithStorage(t, s)
		register(t, m.Manager, laneswap.Registration{ID: "svc"})
		ids := map[string]bool{}
		var all []laneswap.ErrorRecord
		for life := range 5 {
			for n := range 4 {
				rec := reportError(t, m.Manager, "svc", laneswap.ErrorReport{
					Type: "*fs.PathError", Message: fmt.Sprintf("life %d, nummer %d: größer 🫀\n\tinner", life, n),
					Stack: "goroutine 1\n\tmain.go:1", Metadata: map[string]any{"n": n, "deep": map[string]any{"list": []any{1, "é", nil, true}}},
				})
				require.False(t, rec.NotDurable)
				require.False(t, ids[rec.ID], "given twice: %s", rec.ID)
				ids[rec.ID] = true
				all = append([]laneswap.ErrorRecord{rec}, all...)
			}
			m.crash(s)
			s = newCrashStorage(s.Storage)
			m = startWithStorage(t, s)
			require.Equal(t, all, errorsOf(t, m.Manager, "svc", laneswap.ErrorQuery{}))
		}
		require.NoError(t, m.Remove(t.Context(), "svc"))
		register(t, m.Manager, laneswap.Registration{ID: "svc"})
		require.False(t, ids[reportError(t, m.Manager, "svc", laneswap.ErrorReport{Type: "E"}).ID], "nor in another life")
		m.stop(t)
	})
}

func TestErrors_areCopies(t *testing.T) {
	t.Parallel()
	for _, stored := range []bool{false, true} {
		t.Run(fmt.Sprint("stored ", stored), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				faulty := storagetest.NewFaulty(memorystore.New())
				m := laneswap.NewManager()
				if stored {
					m = startWithStorage(t, faulty).Manager
				}
				register(t, m, laneswap.Registration{ID: "svc"})
				if stored { // what waits is in memory
					faulty.Inject(storagetest.Fault{Op: storagetest.Commit, Times: -1})
				}
				given := map[string]any{"list": []any{"a", "b"}, "map": map[string]any{"k": "v"}}
				rec := reportError(t, m, "svc", laneswap.ErrorReport{Type: "E", Metadata: given})
				spoil := func(md map[string]any) {
					md["list"].([]any)[0] = "spoilt"
					md["map"].(map[string]any)["k"] = "spoilt"
					md["new"] = 1
				}
				spoil(given)
				spoil(rec.Metadata)
				want := map[string]any{"list": []any{"a", "b"}, "map": map[string]any{"k": "v"}}
				for range 2 {
					got := errorsOf(t, m, "svc", laneswap.ErrorQuery{})
					require.Equal(t, want, got[0].Metadata)
					spoil(got[0].Metadata)
				}
				faulty.Heal()
				time.Sleep(10 * time.Second)
				require.Equal(t, want, errorsOf(t, m, "svc", laneswap.ErrorQuery{})[0].Metadata)
			})
		})
	}
}

func TestErrors_largestOnesAreKeptWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		m := startWithStorage(t, disk)
		register(t, m.Manager, laneswap.Registration{ID: "svc"})
		rep := laneswap.ErrorReport{
			Type: strings.Repeat("ü", 128), Message: strings.Repeat("<", 4<<10), Stack: strings.Repeat("é\n", 32<<10/3) + "xx",
			Metadata: map[string]any{"k": strings.Repeat("&", 8<<10-len(`{"k":""}`))},
		}
		require.Len(t, rep.Stack, 32<<10)
		rec := reportError(t, m.Manager, "svc", rep)
		m.stop(t)
		m = startWithStorage(t, disk)
		got := errorsOf(t, m.Manager, "svc", laneswap.ErrorQuery{})
		require.Equal(t, []laneswap.ErrorRecord{rec}, got)
		require.Equal(t, rep, laneswap.ErrorReport{Type: got[0].Type, Message: got[0].Message, Stack: got[0].Stack, Metadata: got[0].Metadata})
		m.stop(t)
	})
}

func TestErrors_refusesWhatBreaksALimitAndNamesIt(t *testing.T) {
	t.Parallel()
	m := started(t)
	register(t, m, laneswap.Registration{ID: "svc"})
	many := map[string]any{}
	for i := range 65 {
		many[fmt.Sprint("k", i)] = i
	}
	for name, c := range map[string]struct {
		rep   laneswap.ErrorReport
		field string
	}{
		"nothing":             {laneswap.ErrorReport{Stack: "x"}, "message"},
		"blank":               {laneswap.ErrorReport{Type: " \t", Message: "\n "}, "message"},
		"control characters":  {laneswap.ErrorReport{Message: "\x00\x1b\u202e"}, "message"},
		"long type":           {laneswap.ErrorReport{Type: strings.Repeat("ü", 129)}, "type"},
		"long message":        {laneswap.ErrorReport{Message: strings.Repeat("x", 4<<10+1)}, "message"},
		"long stack":          {laneswap.ErrorReport{Type: "E", Stack: strings.Repeat("x", 32<<10+1)}, "stack"},
		"many keys":           {laneswap.ErrorReport{Type: "E", Metadata: many}, "metadata"},
		"large metadata":      {laneswap.ErrorReport{Type: "E", Metadata: map[string]any{"k": strings.Repeat("x", 8<<10)}}, "metadata"},
		"what JSON has not":   {laneswap.ErrorReport{Type: "E", Metadata: map[string]any{"f": func() {}}}, "metadata.f"},
		"an empty key within": {laneswap.ErrorReport{Type: "E", Metadata: map[string]any{"m": map[string]any{"": 1}}}, "metadata.m"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := m.ReportError(t.Context(), "svc", c.rep)
			require.ErrorIs(t, err, laneswap.ErrInvalidErrorReport)
			var bad *laneswap.ValidationError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, c.field, bad.Field)
		})
	}
	require.Empty(t, errorsOf(t, m, "svc", laneswap.ErrorQuery{}))
	_, err := m.ReportError(t.Context(), "nobody", laneswap.ErrorReport{Type: "E"})
	require.ErrorIs(t, err, laneswap.ErrServiceNotFound)
	_, err = m.ReportError(t.Context(), "no such id", laneswap.ErrorReport{Type: "E"})
	require.ErrorIs(t, err, laneswap.ErrInvalidServiceID)
}

func TestErrors_refusesBadQueriesAndNamesTheField(t *testing.T) {
	t.Parallel()
	m := started(t)
	register(t, m, laneswap.Registration{ID: "svc"})
	for field, q := range map[string]laneswap.ErrorQuery{"limit": {Limit: -1}, "before": {Before: "what?"}} {
		seen := 0
		for _, err := range m.Errors(t.Context(), "svc", q) {
			seen++
			require.ErrorIs(t, err, laneswap.ErrInvalidQuery)
			var bad *laneswap.ValidationError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, field, bad.Field)
		}
		require.Equal(t, 1, seen)
	}
	for _, err := range m.Errors(t.Context(), "nobody", laneswap.ErrorQuery{}) {
		require.ErrorIs(t, err, laneswap.ErrServiceNotFound)
	}
}

func TestErrors_textIsCleanAndChangesNoStatus(t *testing.T) {
	t.Parallel()
	m := started(t)
	h := register(t, m, laneswap.Registration{ID: "svc"})
	h.Beat()
	rec := reportError(t, m, "svc", laneswap.ErrorReport{
		Type: " Type\x1b[31m\nError\xff ", Message: "a\x07b\u202ec\nd", Stack: "one\n\ttwo\x9b\u009b", Metadata: map[string]any{"k\n": "v\x1b"},
	})
	require.Equal(t, "Type[31m Error", rec.Type)
	require.Equal(t, "abc\nd", rec.Message)
	require.Equal(t, "one\n\ttwo", rec.Stack)
	require.Equal(t, map[string]any{"k ": "v"}, rec.Metadata)
	require.True(t, utf8.ValidString(rec.Type))
	require.Equal(t, laneswap.StatusHealthy, statusOf(t, m, "svc").Status)
	require.Equal(t, []laneswap.EventKind{laneswap.EventUp}, kindsOf(t, m))
}

func TestErrors_backlogIsListedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		faulty := storagetest.NewFaulty(memorystore.New())
		m := startWithStorage(t, faulty)
		register(t, m.Manager, laneswap.Registration{ID: "svc"})
		recs := numbered(t, m.Manager, "svc", 3)
		// Taken, but nobody hears of it: it is stored and it waits.
		faulty.Inject(storagetest.Fault{Op: storagetest.Commit, Times: -1, How: storagetest.LoseAnswer})
		rec := reportError(t, m.Manager, "svc", laneswap.ErrorReport{Type: "E"})
		require.True(t, rec.NotDurable)
		rec.NotDurable = false
		want := append([]laneswap.ErrorRecord{rec}, recs...)
		require.Equal(t, want, errorsOf(t, m.Manager, "svc", laneswap.ErrorQuery{}))
		require.Equal(t, recs, errorsOf(t, m.Manager, "svc", laneswap.ErrorQuery{Before: rec.ID}))
		faulty.Heal()
		time.Sleep(10 * time.Second)
		require.Equal(t, want, errorsOf(t, m.Manager, "svc", laneswap.ErrorQuery{}))
		for _, how := range []storagetest.How{storagetest.Refuse, storagetest.Half} {
			faulty.Inject(storagetest.Fault{Op: storagetest.Rows, How: how})
			var last error
			for _, last = range m.Errors(t.Context(), "svc", laneswap.ErrorQuery{}) {
			}
			require.ErrorIs(t, last, laneswap.ErrStorage)
		}
		m.stop(t)
	})
}

func TestErrors_whatWasAcceptedIsKept(t *testing.T) {
	t.Parallel()
	m := started(t)
	register(t, m, laneswap.Registration{ID: "svc"})
	ones := make([]any, 4000)
	for i := range ones {
		ones[i] = 1.0
	}
	rec, err := m.ReportError(t.Context(), "svc", laneswap.ErrorReport{Type: "T", Metadata: map[string]any{"a": ones}})
	require.NoError(t, err)
	recs := errorsOf(t, m, "svc", laneswap.ErrorQuery{})
	require.Len(t, recs, 1)
	require.Equal(t, rec.ID, recs[0].ID)
}

func TestErrors_aLowerLimitHoldsAfterARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		m := startWithStorage(t, disk)
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
		require.NoError(t, err)
		for range 50 {
			_, err := m.ReportError(t.Context(), "svc", laneswap.ErrorReport{Type: "T"})
			require.NoError(t, err)
		}
		m.stop(t)
		m = startWithStorage(t, disk, laneswap.WithLimits(laneswap.Limits{Errors: 10}))
		_, err = m.ReportError(t.Context(), "svc", laneswap.ErrorReport{Type: "T"})
		require.NoError(t, err)
		require.NoError(t, m.Sync(t.Context()))
		require.Len(t, errorsOf(t, m.Manager, "svc", laneswap.ErrorQuery{}), 10)
		require.NoError(t, m.Remove(t.Context(), "svc"))
		m.stop(t)
		require.Zero(t, countRows(t, disk, laneswap.KindError))
	})
}

type hookedRows struct {
	laneswap.Storage
	mu     sync.Mutex
	kind   laneswap.Kind
	before func()
}

func (s *hookedRows) Rows(ctx context.Context, q laneswap.RowQuery) iter.Seq2[laneswap.Row, error] {
	s.mu.Lock()
	do := s.before
	if q.Kind == s.kind {
		s.before = nil
	} else {
		do = nil
	}
	s.mu.Unlock()
	if do != nil {
		do()
	}
	return s.Storage.Rows(ctx, q)
}

func TestErrors_areInOrderWhileOthersReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		faulty := storagetest.NewFaulty(memorystore.New())
		h := &hookedRows{Storage: faulty, kind: laneswap.KindError}
		m := startWithStorage(t, h)
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
		require.NoError(t, err)
		report := func() { reportError(t, m.Manager, "svc", laneswap.ErrorReport{Type: "T"}) }
		report()
		report()
		faulty.Inject(storagetest.Fault{Op: storagetest.Commit})
		go report() // it waits for a second try
		synctest.Wait()
		h.mu.Lock()
		h.before = func() {
			faulty.Heal()
			time.Sleep(time.Second)
			report()
			report()
		}
		h.mu.Unlock()
		recs := errorsOf(t, m.Manager, "svc", laneswap.ErrorQuery{})
		for i := 1; i < len(recs); i++ {
			require.Greater(t, recs[i-1].ID, recs[i].ID, "not newest first")
		}
		m.stop(t)
	})
}
