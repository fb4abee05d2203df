package laneswap_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// document is a service as a deployment in Python has stored it.
type document struct {
	ID            string         `json:"id"`
	Name          string         `json:"name,omitempty"`
	Status        string         `json:"status,omitempty"`
	Message       string         `json:"message,omitempty"`
	Metadata      map[string]any `json:"metadata,omitempty"`
	CreatedAt     *time.Time     `json:"created_at,omitempty"`
	LastHeartbeat *time.Time     `json:"last_heartbeat,omitempty"`
}

// seenAgo is a document of a service that was created a day before its last
// heartbeat, which is that long ago.
func seenAgo(id, status string, silent time.Duration) document {
	last := time.Now().UTC().Add(-silent)
	created := last.Add(-day)
	return document{ID: id, Name: "name of " + id, Status: status, CreatedAt: &created, LastHeartbeat: &last}
}

// deployment is a storage with documents that an adapter yields as rows without a
// version.
func deployment(t *testing.T, docs ...document) *memorystore.Store {
	t.Helper()
	s := memorystore.New()
	b := laneswap.Batch{Epoch: 1}
	for _, doc := range docs {
		data, err := json.Marshal(doc)
		require.NoError(t, err)
		row := laneswap.Row{Kind: laneswap.KindService, ID: doc.ID, Service: doc.ID, Open: true, Data: data}
		if doc.LastHeartbeat != nil {
			row.At = *doc.LastHeartbeat
		}
		b.Put = append(b.Put, row)
	}
	require.NoError(t, s.Commit(t.Context(), b))
	return s
}

func TestImport_isQuiet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		docs := []document{
			seenAgo("api", "healthy", 20*time.Second), seenAgo("worker", "warning", 40*time.Second),
			seenAgo("batch", "healthy", 23*time.Hour), seenAgo("old", "error", 50*time.Hour),
		}
		docs[0].Message = "all fine"
		docs[0].Metadata = map[string]any{"host": "web-1", "cpu": 0.5, "tags": []any{"x", map[string]any{"y": nil}}}
		told := &recorder{}
		m := startWithStorage(t, deployment(t, docs...), laneswap.WithNotifier(told))
		time.Sleep(30 * time.Second)
		synctest.Wait()
		require.Empty(t, kindsOf(t, m.Manager))
		require.Empty(t, told.kinds())
		for i, doc := range docs {
			st := statusOf(t, m.Manager, laneswap.ServiceID(doc.ID))
			require.Equal(t, doc.Name, st.Name)
			require.Equal(t, doc.Message, st.Message)
			require.Equal(t, doc.Metadata, st.Metadata)
			require.Equal(t, *doc.CreatedAt, st.CreatedAt)
			require.Equal(t, *doc.LastHeartbeat, st.LastHeartbeat)
			require.Equal(t, []laneswap.Status{"healthy", "warning", "healthy", "unknown"}[i], st.Status, doc.ID)
			require.Equal(t, i == 1, st.Incident != nil)
		}
		require.Equal(t, docs[1].LastHeartbeat.UTC(), statusOf(t, m.Manager, "worker").Incident.StartedAt)
		m.stop(t)
	})
}

func TestImport_statusesOfOthersBecomeOurs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for said, want := range map[string]laneswap.Status{
			"healthy": "healthy", "warning": "warning", "error": "error", "critical": "critical", "unknown": "unknown", "stale": "stale",
			"HEALTHY": "healthy", "Warning": "warning", "CRITICAL": "critical", "STALE": "stale", "degraded": "degraded", "busy": "busy",
			"idle": "idle", "shutdown": "shutdown", "": "unknown", "ok": "unknown", "HeartbeatStatus.HEALTHY": "unknown", "💥": "unknown",
		} {
			disk := deployment(t, seenAgo("svc", said, 10*time.Second))
			m := startWithStorage(t, disk)
			st := statusOf(t, m.Manager, "svc")
			require.Equal(t, want, st.Status, said)
			require.Equal(t, want.Bad(), st.Incident != nil, said)
			require.Empty(t, kindsOf(t, m.Manager), said)
			require.NoError(t, m.CheckBooks())
			_, err := m.Report(t.Context(), "svc", laneswap.Heartbeat{})
			require.NoError(t, err)
			require.Equal(t, laneswap.StatusHealthy, statusOf(t, m.Manager, "svc").Status, said)
			if want.Bad() {
				require.Equal(t, []laneswap.EventKind{laneswap.EventRecovered}, kindsOf(t, m.Manager), said)
				require.Equal(t, 10*time.Second, eventsOf(t, m.Manager, laneswap.EventQuery{})[0].Duration)
			}
			m.stop(t)
			m = startWithStorage(t, disk)
			require.Equal(t, laneswap.StatusHealthy, statusOf(t, m.Manager, "svc").Status, "it is ours now")
			m.stop(t)
		}
	})
}

func TestImport_longSilentServicesAreForgotten(t *testing.T) {
	t.Parallel()
	for _, daily := range []bool{false, true} {
		t.Run(fmt.Sprint("daily restarts ", daily), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				uuid := "0b9c6a5e-7a3d-4d3e-9a55-0123456789ab"
				disk := deployment(t, seenAgo("chosen", "healthy", 25*time.Hour), seenAgo(uuid, "error", 400*day), seenAgo("stale", "stale", 25*time.Hour), seenAgo("gone", "shutdown", 48*time.Hour))
				told := &recorder{}
				s := newCrashStorage(disk)
				opts := []laneswap.Option{laneswap.WithNotifier(told), laneswap.WithCheckInterval(time.Minute)}
				m := startWithStorage(t, s, opts...)
				begun := time.Now()
				away := day
				if !daily {
					away = 29 * day
				}
				for end := begun.Add(30*day - time.Hour); time.Now().Before(end); {
					// It runs for some minutes, and is away for the rest of the time.
					time.Sleep(5 * time.Minute)
					for st, err := range m.Services(t.Context(), laneswap.ServiceQuery{}) {
						require.NoError(t, err)
						require.Equal(t, laneswap.StatusUnknown, st.Status, st.ID)
					}
					m.crash(s)
					time.Sleep(min(away, time.Until(end)))
					s = newCrashStorage(disk)
					m = startWithStorage(t, s, opts...)
				}
				sum, err := m.Summary(t.Context())
				require.NoError(t, err)
				require.Equal(t, map[laneswap.Status]int{laneswap.StatusUnknown: 4}, sum.Counts)
				time.Sleep(2 * time.Hour)
				sum, err = m.Summary(t.Context())
				require.NoError(t, err)
				require.Zero(t, sum.Total, "forgotten after 30 days")
				require.Zero(t, countRows(t, disk, laneswap.KindService))
				require.Empty(t, kindsOf(t, m.Manager))
				synctest.Wait()
				require.Empty(t, told.kinds())
				m.stop(t)
			})
		})
	}
}

func TestImport_aDayOfSilenceIsTheBoundary(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := startWithStorage(t, deployment(t, seenAgo("below", "healthy", day), seenAgo("above", "healthy", day+time.Millisecond)))
		require.Equal(t, laneswap.StatusHealthy, statusOf(t, m.Manager, "below").Status)
		require.Equal(t, laneswap.StatusUnknown, statusOf(t, m.Manager, "above").Status)
		time.Sleep(5 * time.Minute)
		require.Equal(t, laneswap.StatusStale, statusOf(t, m.Manager, "below").Status, "it is missed")
		require.Equal(t, laneswap.StatusUnknown, statusOf(t, m.Manager, "above").Status)
		require.Len(t, eventsOf(t, m.Manager, laneswap.EventQuery{}), 1)
		m.stop(t)
	})
}

func TestImport_comesBackByABeatOrARegistration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := deployment(t, seenAgo("beats", "error", 50*time.Hour), seenAgo("registers", "healthy", 50*time.Hour), seenAgo("announced", "healthy", 50*time.Hour))
		m := startWithStorage(t, disk)
		time.Sleep(29 * time.Second)
		require.NoError(t, m.Beat(t.Context(), "beats", laneswap.Heartbeat{}))
		st, err := m.Register(t.Context(), laneswap.Registration{ID: "registers", Name: "new name"})
		require.NoError(t, err)
		require.Equal(t, "new name", st.Name)
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "announced"}, laneswap.Heartbeat{}))
		require.Equal(t, laneswap.StatusHealthy, statusOf(t, m.Manager, "beats").Status)
		require.Equal(t, "name of announced", statusOf(t, m.Manager, "announced").Name, "it keeps its registration")
		for range 2 {
			time.Sleep(window + 125*time.Second)
			for _, id := range []laneswap.ServiceID{"beats", "registers", "announced"} {
				require.Equal(t, laneswap.StatusStale, statusOf(t, m.Manager, id).Status, "%s is watched again", id)
			}
			m.stop(t)
			m = startWithStorage(t, disk)
		}
		m.stop(t)
	})
}

func TestImport_oddIDsAreServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ids := []string{"my service", "a/b/c", "größe 🫀", "..", "-dash", "/laneswap/1", "a%2Fb", "x\"y", strings.Repeat("ü", 100), " "}
		var docs []document
		for _, id := range ids {
			docs = append(docs, seenAgo(id, "healthy", 10*time.Second))
		}
		disk := deployment(t, docs...)
		m := startWithStorage(t, disk)
		for _, odd := range ids {
			id := laneswap.ServiceID(odd)
			_, err := m.Report(t.Context(), id, laneswap.Heartbeat{Status: laneswap.StatusError})
			require.NoError(t, err)
			reportError(t, m.Manager, id, laneswap.ErrorReport{Type: "E"})
			require.NoError(t, m.Beat(t.Context(), id, laneswap.Heartbeat{Message: "well"}))
		}
		time.Sleep(time.Second)
		m.stop(t)
		m = startWithStorage(t, disk)
		for _, odd := range ids {
			id := laneswap.ServiceID(odd)
			st := statusOf(t, m.Manager, id)
			require.Equal(t, laneswap.StatusHealthy, st.Status, odd)
			require.Equal(t, "well", st.Message)
			require.Len(t, st.Events, 2)
			require.Len(t, errorsOf(t, m.Manager, id, laneswap.ErrorQuery{}), 1)
			h := historyOf(t, m.Manager, id, laneswap.HistoryQuery{})
			require.Equal(t, 1, h.Recovered)
			require.Len(t, h.Spans, 3, odd)
			require.NoError(t, m.Remove(t.Context(), id))
		}
		require.Zero(t, countRows(t, disk, laneswap.KindService))
		m.stop(t)
	})
}

func TestImport_missingFieldsAreNoHindrance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now().UTC()
		created, last := start.Add(-time.Hour), start.Add(-10*time.Second)
		disk := deployment(t,
			document{ID: "bare"}, document{ID: "never beat", Name: "New", CreatedAt: &created},
			document{ID: "only beat", Status: "healthy", LastHeartbeat: &last})
		m := startWithStorage(t, disk)
		bare := statusOf(t, m.Manager, "bare")
		require.Equal(t, "bare", bare.Name)
		require.Equal(t, start, bare.CreatedAt)
		require.True(t, bare.LastHeartbeat.IsZero())
		require.Equal(t, laneswap.StatusUnknown, bare.Status)
		require.Equal(t, []string{}, bare.Tags)
		never := statusOf(t, m.Manager, "never beat")
		require.True(t, never.LastHeartbeat.IsZero())
		require.Equal(t, created, never.CreatedAt)
		require.Zero(t, never.Beats)
		only := statusOf(t, m.Manager, "only beat")
		require.Equal(t, last, only.CreatedAt)
		require.Equal(t, last, only.LastHeartbeat)
		require.Equal(t, laneswap.StatusHealthy, only.Status)
		require.NoError(t, m.CheckBooks())
		for _, id := range []laneswap.ServiceID{"bare", "never beat", "only beat"} {
			require.NoError(t, m.Beat(t.Context(), id, laneswap.Heartbeat{}))
			require.Equal(t, laneswap.StatusHealthy, statusOf(t, m.Manager, id).Status)
		}
		m.stop(t)
	})
}

func TestImport_thousandsMakeNoAlerts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var docs []document
		for n := range 2000 {
			status := []string{"healthy", "warning", "error", "stale", "shutdown"}[n%5]
			docs = append(docs, seenAgo(fmt.Sprintf("%08x-7a3d-4d3e-9a55-0123456789ab", n), status, 25*time.Hour+time.Duration(n)*time.Hour))
		}
		disk := deployment(t, append(docs, seenAgo("alive", "healthy", time.Second))...)
		told := &recorder{}
		m := startWithStorage(t, disk, laneswap.WithNotifier(told))
		for range 20 {
			require.NoError(t, m.Beat(t.Context(), "alive", laneswap.Heartbeat{}))
			time.Sleep(30 * time.Second)
		}
		require.Empty(t, kindsOf(t, m.Manager))
		require.Empty(t, told.kinds())
		sum, err := m.Summary(t.Context())
		require.NoError(t, err)
		require.Equal(t, map[laneswap.Status]int{laneswap.StatusUnknown: 2000, laneswap.StatusHealthy: 1}, sum.Counts)
		require.NoError(t, m.CheckBooks())
		m.stop(t)
		m = startWithStorage(t, disk, laneswap.WithNotifier(told))
		time.Sleep(10 * time.Second)
		require.Empty(t, kindsOf(t, m.Manager), "nor after a restart")
		m.stop(t)
	})
}

func TestImport_historyBeginsWithTheLastHeartbeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now().UTC()
		m := startWithStorage(t, deployment(t, seenAgo("svc", "error", time.Hour)))
		require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{}))
		time.Sleep(50 * time.Second)
		h := historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{})
		require.Equal(t, start.Add(-time.Hour), h.KnownFrom)
		require.Equal(t, 50*time.Second, h.Up)
		require.Equal(t, time.Hour, h.Absent, "we were not there")
		require.Zero(t, h.Down)
		require.Equal(t, 1, h.Recovered)
		require.Equal(t, day, h.Up+h.Absent+h.Unknown)
		m.stop(t)
	})
}

func TestImport_registrationWhileLoadingMakesOneService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := deployment(t, seenAgo("svc", "error", 50*time.Hour), seenAgo("young", "warning", time.Minute))
		gate := &gatedLoad{Storage: disk, open: make(chan struct{})}
		m := startWithStorage(t, gate)
		for _, id := range []laneswap.ServiceID{"svc", "young"} {
			_, err := m.Register(t.Context(), laneswap.Registration{ID: id, Interval: time.Hour})
			require.NoError(t, err)
			require.NoError(t, m.Beat(t.Context(), id, laneswap.Heartbeat{Message: "hello"}))
		}
		close(gate.open)
		time.Sleep(time.Second)
		for _, id := range []laneswap.ServiceID{"svc", "young"} {
			st := statusOf(t, m.Manager, id)
			require.Equal(t, laneswap.StatusHealthy, st.Status)
			require.Equal(t, "hello", st.Message)
			require.Equal(t, "name of "+string(id), st.Name)
			require.Equal(t, time.Hour, st.Interval)
		}
		time.Sleep(10 * time.Minute)
		require.Equal(t, laneswap.StatusHealthy, statusOf(t, m.Manager, "svc").Status, "it is nobody's any more that is forgotten")
		require.NoError(t, m.CheckBooks())
		m.stop(t)
	})
}

// gatedLoad is a storage that is read when its gate opens.
type gatedLoad struct {
	laneswap.Storage
	open chan struct{}
}

func (g *gatedLoad) Load(ctx context.Context) iter.Seq2[laneswap.Row, error] {
	return func(yield func(laneswap.Row, error) bool) {
		select {
		case <-g.open:
			g.Storage.Load(ctx)(yield)
		case <-ctx.Done():
			yield(laneswap.Row{}, ctx.Err())
		}
	}
}

func TestImport_timesInTheFutureDateNothingInTheFuture(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ahead := time.Now().Add(365 * 24 * time.Hour)
		m := startWithStorage(t, deployment(t, document{ID: "svc", Status: "healthy", CreatedAt: &ahead, LastHeartbeat: &ahead}))
		st := statusOf(t, m.Manager, "svc")
		require.False(t, st.Since.After(time.Now()), "since %v", st.Since)
		require.False(t, st.CreatedAt.After(time.Now()), "created %v", st.CreatedAt)
		require.False(t, st.LastHeartbeat.After(time.Now()))
		time.Sleep(time.Hour)
		evs := eventsOf(t, m.Manager, laneswap.EventQuery{})
		require.Len(t, evs, 1)
		require.False(t, evs[0].At.After(time.Now()), "%+v", evs[0])
		_, err := m.Report(t.Context(), "svc", laneswap.Heartbeat{})
		require.NoError(t, err)
		evs = eventsOf(t, m.Manager, laneswap.EventQuery{})
		require.Greater(t, evs[1].Duration, 50*time.Minute)
		h, err := m.History(t.Context(), "svc", laneswap.HistoryQuery{})
		require.NoError(t, err)
		require.False(t, h.To.After(time.Now()), "%v", h.To)
		m.stop(t)
	})
}

func TestImport_createdInTheFutureDoesNotMakeItYoung(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ahead, long := time.Now().Add(time.Hour), time.Now().Add(-40*24*time.Hour)
		m := startWithStorage(t, deployment(t, document{ID: "svc", Status: "healthy", CreatedAt: &ahead, LastHeartbeat: &long}))
		time.Sleep(2 * time.Hour)
		require.Equal(t, laneswap.StatusUnknown, statusOf(t, m.Manager, "svc").Status)
		require.Empty(t, eventsOf(t, m.Manager, laneswap.EventQuery{}))
		m.stop(t)
	})
}

func TestImport_textOfOthersIsNotTrusted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		doc := seenAgo("svc", "error", 0)
		doc.Name, doc.Message = "\x1b[31mbad\u202e\n"+strings.Repeat("x", 500), "a\x1b]0;b\u009b"+strings.Repeat("ü", 10_000)
		doc.Metadata = map[string]any{"\x1bkey": "v\x07al"}
		m := startWithStorage(t, deployment(t, doc))
		st := statusOf(t, m.Manager, "svc")
		require.Equal(t, laneswap.Sanitize(st.Name), st.Name)
		require.LessOrEqual(t, utf8.RuneCountInString(st.Name), 128)
		require.NotContains(t, st.Message, "\x1b")
		require.NotContains(t, st.Message, "\u009b")
		require.LessOrEqual(t, len(st.Message), 4<<10)
		for k, v := range st.Metadata {
			require.Equal(t, laneswap.Sanitize(k), k)
			require.NotContains(t, v, "\x07")
		}
		m.stop(t)
	})
}

func TestImport_metadataAboveTheLimitCanBeReduced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		doc := seenAgo("svc", "healthy", 0)
		doc.Metadata = map[string]any{"big": strings.Repeat("x", 20_000), "host": "a"}
		m := startWithStorage(t, deployment(t, doc))
		require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{Metadata: map[string]any{"cpu": 1.0}}), "a beat of a service that was taken over")
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc", Metadata: map[string]any{"pid": 1}})
		require.NoError(t, err)
		m.stop(t)
	})
}

func TestImport_registersAgainUnderItsOddID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := startWithStorage(t, deployment(t, seenAgo("my service/ü", "healthy", 0)))
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "my service/ü", Name: "n"})
		require.NoError(t, err)
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "my service/ü"}, laneswap.Heartbeat{}))
		m.stop(t)
	})
}

// exacting refuses what the contract does not allow, as the adapters do.
type exacting struct{ laneswap.Storage }

func (s exacting) Commit(ctx context.Context, b laneswap.Batch) error {
	for _, row := range append(b.Insert[:len(b.Insert):len(b.Insert)], b.Put...) {
		if len(row.ID) > 512 || len(row.Data) > 1<<20 {
			return errors.New("a row is too large")
		}
	}
	return s.Storage.Commit(ctx, b)
}

func TestImport_longIDsBlockNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		served, left := strings.Repeat("ü", 150), strings.Repeat("x", 510)
		m := startWithStorage(t, exacting{deployment(t, seenAgo(served, "healthy", 0), seenAgo(left, "healthy", 0))})
		require.Equal(t, []laneswap.EventKind{laneswap.EventStorageDamaged}, kindsOf(t, m.Manager), "what is left out is said")
		_, err := m.Service(t.Context(), laneswap.ServiceID(left))
		require.Error(t, err)
		st, err := m.Report(t.Context(), laneswap.ServiceID(served), laneswap.Heartbeat{Status: laneswap.StatusError})
		require.NoError(t, err)
		require.False(t, st.NotDurable)
		reportError(t, m.Manager, laneswap.ServiceID(served), laneswap.ErrorReport{Type: "E"})
		st, err = m.Register(t.Context(), laneswap.Registration{ID: "other"})
		require.NoError(t, err)
		require.False(t, st.NotDurable)
		require.NoError(t, m.Sync(t.Context()))
		m.stop(t)
	})
}
