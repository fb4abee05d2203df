package laneswap_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

func TestBeat_mergesMetadataAndEmptyClearsTheMessage(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	h := register(t, m, laneswap.Registration{ID: "svc", Metadata: map[string]any{"a": 1, "b": "x"}})
	st, err := m.Report(t.Context(), "svc", laneswap.Heartbeat{
		Status: "WARNING", Message: "disk\nfull\x1b[31m\u202e", Metadata: map[string]any{"a": nil, "c": []any{1, "two\x07"}},
	})
	require.NoError(t, err)
	require.Equal(t, laneswap.StatusWarning, st.Status)
	require.Equal(t, "disk\nfull[31m", st.Message, "control and bidi characters go, newlines stay")
	require.Equal(t, map[string]any{"b": "x", "c": []any{1.0, "two"}}, st.Metadata)
	h.Beat()
	st = statusOf(t, m, "svc")
	require.Equal(t, laneswap.StatusHealthy, st.Status)
	require.Empty(t, st.Message)
	require.Equal(t, map[string]any{"b": "x", "c": []any{1.0, "two"}}, st.Metadata)
	require.EqualValues(t, 2, st.Beats)
}

func TestBeat_answersAreCopies(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	mine := map[string]any{"deep": map[string]any{"k": "v"}}
	register(t, m, laneswap.Registration{ID: "svc", Tags: []string{"tag"}, Metadata: mine})
	mine["deep"].(map[string]any)["k"] = "changed"
	st := statusOf(t, m, "svc")
	require.Equal(t, map[string]any{"deep": map[string]any{"k": "v"}}, st.Metadata)
	st.Metadata["deep"].(map[string]any)["k"] = "changed"
	st.Tags[0] = "changed"
	st = statusOf(t, m, "svc")
	require.Equal(t, map[string]any{"deep": map[string]any{"k": "v"}}, st.Metadata)
	require.Equal(t, []string{"tag"}, st.Tags)
}

func TestBeat_badInputNamesTheFieldAndChangesNothing(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager(laneswap.WithLimits(laneswap.Limits{MetadataBytes: 100, MetadataKeys: 3}))
	register(t, m, laneswap.Registration{ID: "svc", Metadata: map[string]any{"one": 1, "two": 2}})
	require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{Message: "kept"}))
	before := statusOf(t, m, "svc")
	var deep any = "end"
	for range 20 {
		deep = []any{deep}
	}
	for _, c := range []struct {
		field string
		hb    laneswap.Heartbeat
	}{
		{"status", laneswap.Heartbeat{Status: "stale"}},
		{"status", laneswap.Heartbeat{Status: "fine"}},
		{"status", laneswap.Heartbeat{Status: laneswap.Status(strings.Repeat("x", 5000))}},
		{"message", laneswap.Heartbeat{Message: strings.Repeat("x", 4097)}},
		{"metadata.n", laneswap.Heartbeat{Metadata: map[string]any{"n": math.NaN()}}},
		{"metadata.n", laneswap.Heartbeat{Metadata: map[string]any{"n": math.Inf(1)}}},
		{"metadata.c", laneswap.Heartbeat{Metadata: map[string]any{"c": make(chan int)}}},
		{"metadata", laneswap.Heartbeat{Metadata: map[string]any{"three": 3, "four": 4}}},
		{"metadata", laneswap.Heartbeat{Metadata: map[string]any{"one": strings.Repeat("x", 95)}}},
		{"metadata.d", laneswap.Heartbeat{Metadata: map[string]any{"d": deep}}},
	} {
		for _, err := range []error{
			m.Beat(t.Context(), "svc", c.hb),
			func() error { _, err := m.Report(t.Context(), "svc", c.hb); return err }(),
		} {
			var bad *laneswap.ValidationError
			require.ErrorAs(t, err, &bad, "%+v", c.hb)
			require.ErrorIs(t, err, laneswap.ErrInvalidHeartbeat)
			require.True(t, strings.HasPrefix(bad.Field, c.field), bad.Field)
			require.Less(t, len(err.Error()), 400)
		}
		require.Equal(t, before, statusOf(t, m, "svc"))
	}
	require.ErrorIs(t, m.Beat(t.Context(), "nobody", laneswap.Heartbeat{}), laneswap.ErrServiceNotFound)
	require.ErrorIs(t, m.Beat(t.Context(), "no/body", laneswap.Heartbeat{}), laneswap.ErrInvalidServiceID)
}

func TestBeat_metadataLimitHoldsAfterMerging(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager(laneswap.WithLimits(laneswap.Limits{MetadataKeys: 2}))
	register(t, m, laneswap.Registration{ID: "svc", Metadata: map[string]any{"a": 1, "b": 2}})
	require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{Metadata: map[string]any{"a": nil, "b": nil, "c": 3, "d": 4}}))
	require.Equal(t, map[string]any{"c": 3.0, "d": 4.0}, statusOf(t, m, "svc").Metadata)
}

func TestInterceptor_mayChangeAndRefuse(t *testing.T) {
	t.Parallel()
	seen := 0
	m := laneswap.NewManager(
		laneswap.WithInterceptor(func(_ context.Context, id laneswap.ServiceID, hb laneswap.Heartbeat) (laneswap.Heartbeat, error) {
			seen++
			if cpu, _ := hb.Metadata["cpu"].(float64); cpu > 90 {
				hb.Status = laneswap.StatusCritical
			}
			return hb, nil
		}),
		laneswap.WithInterceptor(func(_ context.Context, id laneswap.ServiceID, hb laneswap.Heartbeat) (laneswap.Heartbeat, error) {
			switch hb.Message {
			case "refuse":
				return hb, errors.New("not today")
			case "panic":
				panic("oh")
			case "spoil":
				hb.Status = laneswap.StatusStale
			}
			return hb, nil
		}),
	)
	h := register(t, m, laneswap.Registration{ID: "svc"})
	h.Beat()
	require.Equal(t, 1, seen, "it sees empty beats too")
	require.NoError(t, h.Report(laneswap.Heartbeat{Metadata: map[string]any{"cpu": 93}}))
	require.Equal(t, laneswap.StatusCritical, statusOf(t, m, "svc").Status)
	before := statusOf(t, m, "svc")
	for message, want := range map[string]string{"refuse": "not today", "panic": "panicked", "spoil": "stale"} {
		err := m.Beat(t.Context(), "svc", laneswap.Heartbeat{Message: message})
		require.ErrorIs(t, err, laneswap.ErrInvalidHeartbeat)
		require.ErrorContains(t, err, want)
		require.Equal(t, before, statusOf(t, m, "svc"), "a refused beat is no sign of life")
	}
}

func TestAnnounce_registersAndBeatsOrDoesNothing(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager(laneswap.WithLimits(laneswap.Limits{Services: 2, MetadataKeys: 2}))
	st, err := m.Announce(t.Context(), laneswap.Registration{ID: "cron", Interval: time.Minute}, laneswap.Heartbeat{Message: "done"})
	require.NoError(t, err)
	require.Equal(t, laneswap.StatusHealthy, st.Status)
	require.Equal(t, time.Minute, st.Interval)
	st, err = m.Announce(t.Context(), laneswap.Registration{ID: "cron", Interval: time.Hour}, laneswap.Heartbeat{Status: laneswap.StatusError})
	require.NoError(t, err)
	require.Equal(t, time.Minute, st.Interval, "a known one keeps its registration")
	require.Equal(t, laneswap.StatusError, st.Status)

	for want, hb := range map[error]laneswap.Heartbeat{
		laneswap.ErrInvalidHeartbeat: {Status: "fine"},
		laneswap.ErrLaneSwap:         {Metadata: map[string]any{"a": 1, "b": 2, "c": 3}},
	} {
		_, err = m.Announce(t.Context(), laneswap.Registration{ID: "new"}, hb)
		require.ErrorIs(t, err, want)
	}
	_, err = m.Announce(t.Context(), laneswap.Registration{ID: "new", Interval: -1}, laneswap.Heartbeat{})
	require.ErrorIs(t, err, laneswap.ErrInvalidRegistration)
	_, err = m.Announce(t.Context(), laneswap.Registration{Name: "no id"}, laneswap.Heartbeat{})
	require.ErrorIs(t, err, laneswap.ErrInvalidServiceID)
	_, err = m.Service(t.Context(), "new")
	require.ErrorIs(t, err, laneswap.ErrServiceNotFound, "nothing was registered")
	register(t, m, laneswap.Registration{ID: "second"})
	_, err = m.Announce(t.Context(), laneswap.Registration{ID: "third"}, laneswap.Heartbeat{})
	require.ErrorIs(t, err, laneswap.ErrTooManyServices)
}

func TestInterceptor_mayCallTheManager(t *testing.T) {
	t.Parallel()
	var m *laneswap.Manager
	m = laneswap.NewManager(laneswap.WithInterceptor(func(ctx context.Context, id laneswap.ServiceID, hb laneswap.Heartbeat) (laneswap.Heartbeat, error) {
		st, err := m.Service(ctx, id)
		hb.Message = fmt.Sprintf("beat %d", st.Beats+1)
		return hb, err
	}))
	h := register(t, m, laneswap.Registration{ID: "svc"})
	h.Beat()
	h.Beat()
	require.Equal(t, "beat 2", statusOf(t, m, "svc").Message)
}

func TestHeartbeats_keepTextsAndCountEqualOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		h := register(t, m, laneswap.Registration{ID: "svc"})
		say := func(hb laneswap.Heartbeat) {
			require.NoError(t, h.Report(hb))
			time.Sleep(time.Second)
		}
		at := time.Now().UTC()
		h.Beat()
		say(laneswap.Heartbeat{Message: "one"})
		say(laneswap.Heartbeat{Message: "one"})
		h.Beat()
		say(laneswap.Heartbeat{Metadata: map[string]any{"n": 1}})
		say(laneswap.Heartbeat{Metadata: map[string]any{"n": 1}})
		say(laneswap.Heartbeat{Status: laneswap.StatusBusy})
		var got []laneswap.HeartbeatRecord
		for rec, err := range m.Heartbeats(t.Context(), "svc") {
			require.NoError(t, err)
			got = append(got, rec)
		}
		require.Equal(t, []laneswap.HeartbeatRecord{
			{Status: "healthy", Message: "one", At: at, Last: at.Add(time.Second), Count: 2},
			{Status: "healthy", Metadata: map[string]any{"n": 1.0}, At: at.Add(2 * time.Second), Last: at.Add(2 * time.Second), Count: 1},
			{Status: "busy", At: at.Add(4 * time.Second), Last: at.Add(4 * time.Second), Count: 1},
		}, got)
	})
}

func TestHeartbeats_areBoundedPerServiceAndInAll(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	count := func(id laneswap.ServiceID) (n int) {
		for _, err := range m.Heartbeats(t.Context(), id) {
			require.NoError(t, err)
			n++
		}
		return n
	}
	small := register(t, m, laneswap.Registration{ID: "small"})
	large := register(t, m, laneswap.Registration{ID: "large"})
	for i := range 300 {
		require.NoError(t, small.Report(laneswap.Heartbeat{Message: fmt.Sprint(i)}))
		require.NoError(t, large.Report(laneswap.Heartbeat{Message: fmt.Sprint(i) + strings.Repeat("x", 4000)}))
	}
	require.Equal(t, 3, count("large"), "16 KiB")
	require.LessOrEqual(t, m.SpeechBytes(), 2*16<<10)
	m.SetSpeechLimit(20 << 10)
	require.NoError(t, large.Report(laneswap.Heartbeat{Message: "last" + strings.Repeat("x", 4000)}))
	require.LessOrEqual(t, m.SpeechBytes(), 20<<10)
	require.Less(t, count("small"), 100, "the oldest of all go first")
	require.NoError(t, m.Remove(t.Context(), "small"))
	require.NoError(t, m.Remove(t.Context(), "large"))
	require.Zero(t, m.SpeechBytes())
	for _, err := range m.Heartbeats(t.Context(), "large") {
		require.ErrorIs(t, err, laneswap.ErrServiceNotFound)
	}
}

func TestServices_areFilteredPagedAndOrdered(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	for i := range 10 {
		h := register(t, m, laneswap.Registration{ID: laneswap.ServiceID(fmt.Sprintf("svc%d", 9-i)), Name: fmt.Sprint("name", i%2), Tags: []string{fmt.Sprint("tag", i%3)}})
		if i < 4 {
			require.NoError(t, h.Report(laneswap.Heartbeat{Status: laneswap.StatusError}))
		}
	}
	list := func(q laneswap.ServiceQuery) (ids []laneswap.ServiceID) {
		for st, err := range m.Services(t.Context(), q) {
			require.NoError(t, err)
			ids = append(ids, st.ID)
		}
		return ids
	}
	require.Equal(t, []laneswap.ServiceID{"svc0", "svc1", "svc2", "svc3", "svc4", "svc5", "svc6", "svc7", "svc8", "svc9"}, list(laneswap.ServiceQuery{}))
	require.Equal(t, []laneswap.ServiceID{"svc6", "svc7", "svc8", "svc9"}, list(laneswap.ServiceQuery{Status: laneswap.StatusError}))
	require.Equal(t, []laneswap.ServiceID{"svc0", "svc3", "svc6", "svc9"}, list(laneswap.ServiceQuery{Tag: "tag0"}))
	require.Equal(t, []laneswap.ServiceID{"svc3", "svc9"}, list(laneswap.ServiceQuery{Tag: "tag0", Name: "name0"}))
	require.Equal(t, []laneswap.ServiceID{"svc4", "svc5"}, list(laneswap.ServiceQuery{After: "svc3", Limit: 2}))
	require.Equal(t, []laneswap.ServiceID{"svc5", "svc6"}, list(laneswap.ServiceQuery{After: "svc40", Limit: 2}), "after one that is gone")
	for _, q := range []laneswap.ServiceQuery{{Limit: -1}, {Events: 11}, {Events: -1}, {Status: "fine"}} {
		n := 0
		for _, err := range m.Services(t.Context(), q) {
			require.ErrorIs(t, err, laneswap.ErrInvalidQuery)
			n++
		}
		require.Equal(t, 1, n)
	}
	for range m.Services(t.Context(), laneswap.ServiceQuery{}) {
		require.NoError(t, m.Remove(t.Context(), "svc5"), "no lock is held while the body runs")
		break
	}
	require.Len(t, list(laneswap.ServiceQuery{}), 9)
}

func TestService_holdsItsLatestTenEvents(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	h := register(t, m, laneswap.Registration{ID: "svc"})
	for range 10 {
		h.Beat()
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: laneswap.StatusError}))
	}
	st := statusOf(t, m, "svc")
	require.Len(t, st.Events, 10)
	for i, ev := range st.Events {
		require.EqualValues(t, 11+i, ev.Sequence)
	}
	for st, err := range m.Services(t.Context(), laneswap.ServiceQuery{}) {
		require.NoError(t, err)
		require.Empty(t, st.Events)
	}
	for st, err := range m.Services(t.Context(), laneswap.ServiceQuery{Events: 2}) {
		require.NoError(t, err)
		require.Len(t, st.Events, 2)
		require.EqualValues(t, 20, st.Events[1].Sequence)
	}
}

// Everything at once, for the race detector: the counts must agree at the end.
func TestManager_concurrentUseKeepsTheCountsRight(t *testing.T) {
	t.Parallel()
	m := started(t, laneswap.WithStaleThreshold(20*time.Millisecond), laneswap.WithCheckInterval(10*time.Millisecond), laneswap.WithNotifier(&recorder{}))
	statuses := []laneswap.Status{"", "error", "busy", "shutdown", "critical"}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 400 {
				id := laneswap.ServiceID(fmt.Sprint("svc", (g*7+i)%20))
				switch i % 8 {
				case 0:
					_, _ = m.Register(t.Context(), laneswap.Registration{ID: id, ForgetAfter: 10 * time.Millisecond, StaleAfter: time.Duration(10+i%20) * time.Millisecond})
				case 1:
					_, _ = m.Register(t.Context(), laneswap.Registration{Name: "made up", ForgetAfter: 10 * time.Millisecond})
				case 2:
					_ = m.Remove(t.Context(), id)
				case 3:
					for _, err := range m.Services(t.Context(), laneswap.ServiceQuery{Limit: 5}) {
						if err != nil {
							t.Error(err)
						}
					}
				case 4:
					_, _ = m.Summary(t.Context())
				case 5:
					if h, err := m.Handle(id); err == nil {
						h.Beat()
						_ = h.Err()
					}
				default:
					_ = m.Beat(t.Context(), id, laneswap.Heartbeat{Status: statuses[i%len(statuses)], Message: fmt.Sprint(i % 3)})
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, m.Stop(t.Context()))
	sum, err := m.Summary(t.Context())
	require.NoError(t, err)
	counts := map[laneswap.Status]int{}
	n := 0
	for st, err := range m.Services(t.Context(), laneswap.ServiceQuery{}) {
		require.NoError(t, err)
		counts[st.Status]++
		n++
	}
	require.Equal(t, counts, sum.Counts)
	require.Equal(t, n, sum.Total)
	last := map[laneswap.ServiceID]laneswap.Event{}
	for _, ev := range eventsOf(t, m, laneswap.EventQuery{}) {
		if before, ok := last[ev.Service]; ok && before.Kind != laneswap.EventRemoved && ev.ID[:len(ev.ID)-2] == before.ID[:len(before.ID)-2] {
			require.Equal(t, before.To, ev.From, "%+v\n%+v", before, ev)
		}
		last[ev.Service] = ev
	}
}

// panicky cannot be written as JSON.
type panicky struct{}

func (panicky) MarshalJSON() ([]byte, error) { panic("oops") }

func TestBeat_metadataIsMeasuredByWhatItCosts(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	register(t, m, laneswap.Registration{ID: "x"})
	say := func(v any) error {
		return m.Beat(t.Context(), "x", laneswap.Heartbeat{Metadata: map[string]any{"v": v}})
	}
	require.NoError(t, say(strings.Repeat("<", 8000)), "not by the escapes that are for HTML")
	many := make([]any, 2000)
	for i := range many {
		many[i] = map[string]any{}
	}
	require.ErrorIs(t, say(many), laneswap.ErrInvalidHeartbeat, "6 kB of JSON, 100 kB of memory")
	require.ErrorIs(t, say(make([]byte, 1<<30)), laneswap.ErrInvalidHeartbeat)
	require.ErrorIs(t, say(panicky{}), laneswap.ErrInvalidHeartbeat)
}

func TestAnnounce_findsAlwaysSomethingToBeatFor(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-quit:
				return
			default:
				_ = m.Remove(t.Context(), "x")
			}
		}
	})
	for range 20_000 {
		_, err := m.Announce(t.Context(), laneswap.Registration{ID: "x"}, laneswap.Heartbeat{Message: "x"})
		if !assert.NoError(t, err) {
			break
		}
	}
	close(quit)
	wg.Wait()
}

func TestEvents_idsNeverRepeat(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	for range 20 {
		h := register(t, m, laneswap.Registration{ID: "x"})
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: laneswap.StatusError}))
		require.NoError(t, m.Remove(t.Context(), "x"))
	}
	seen := map[string]bool{}
	for _, ev := range eventsOf(t, m, laneswap.EventQuery{}) {
		require.False(t, seen[ev.ID], ev.ID)
		seen[ev.ID] = true
	}
}

func TestSummary_totalIsSteadyWhileStatusesChange(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	h := register(t, m, laneswap.Registration{ID: "x"})
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 5000 {
			_ = h.Report(laneswap.Heartbeat{Status: laneswap.StatusError})
			h.Beat()
		}
	})
	for range 20_000 {
		sum, err := m.Summary(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, sum.Total)
	}
	wg.Wait()
}
