package laneswap_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// The backlog that the storage is owed at most, and what may be above it: things
// that cannot be refused, as services are bounded.
const (
	backlogRows  = 100_000
	backlogSlack = 2_000
)

// changeStatuses has services change their status again and again.
func changeStatuses(t *testing.T, m *laneswap.Manager, services, times int) {
	t.Helper()
	for i := range times {
		status := []laneswap.Status{laneswap.StatusError, laneswap.StatusHealthy}[i%2]
		for n := range services {
			hb := laneswap.Heartbeat{Status: status, Message: fmt.Sprint("change ", i)}
			require.NoError(t, m.Beat(t.Context(), nthID(n), hb))
		}
		if i%100 == 0 {
			time.Sleep(time.Millisecond) // let others work
		}
	}
}

// startThenLoseStorage starts a Manager with some services whose storage then leaves.
func startThenLoseStorage(t *testing.T, services int, opts ...laneswap.Option) (*memorystore.Store, *storagetest.Faulty, *crashStorage, *run) {
	t.Helper()
	disk := memorystore.New()
	faulty := storagetest.NewFaulty(disk)
	s := newCrashStorage(faulty)
	m := startWithStorage(t, s, opts...)
	for n := range services {
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: nthID(n), NoDeadline: true}, laneswap.Heartbeat{}))
	}
	require.NoError(t, m.Sync(t.Context()))
	faulty.Inject(storagetest.Fault{Op: storagetest.Commit, Times: -1})
	return disk, faulty, s, m
}

// backlogOverflow is how often 5 services must change for more than the backlog.
const backlogOverflow = 11_000

func TestBacklog_fullKeepsFirstAndLatestCountsTheRest(t *testing.T) {
	skipHeavy(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const services = 5
		disk, faulty, s, m := startThenLoseStorage(t, services)
		changeStatuses(t, m.Manager, services, backlogOverflow)
		full := m.Health().Storage
		require.NotZero(t, full.Lost)
		changeStatuses(t, m.Manager, services, backlogOverflow)
		h := m.Health().Storage
		require.LessOrEqual(t, h.Backlog, backlogRows+backlogSlack)
		require.Equal(t, full.Backlog, h.Backlog, "it does not grow any more")
		require.Equal(t, full.Lost+services*backlogOverflow, h.Lost)
		_, err := m.ReportError(t.Context(), nthID(0), laneswap.ErrorReport{Message: "one more"})
		require.ErrorIs(t, err, laneswap.ErrDegraded, "what can be refused is refused")
		time.Sleep(10 * time.Second)
		require.NoError(t, m.Beat(t.Context(), nthID(0), laneswap.Heartbeat{Status: laneswap.StatusCritical, Message: "the last"}))
		lost := m.Health().Storage.Lost
		want := map[laneswap.ServiceID]laneswap.ServiceStatus{}
		for n := range services {
			want[nthID(n)] = statusOf(t, m.Manager, nthID(n))
		}
		faulty.Heal()
		time.Sleep(30 * time.Second)
		require.Equal(t, "ok", m.Health().Storage.State)
		require.NoError(t, m.Sync(t.Context()))
		var said string
		for _, ev := range eventsOf(t, m.Manager, laneswap.EventQuery{}) {
			if ev.Kind == laneswap.EventStorageLost {
				said = ev.Message
			}
		}
		total := 0
		for n := range services {
			require.Contains(t, said, " of "+string(nthID(n)))
		}
		for part := range strings.SplitSeq(said[strings.LastIndex(said, ": ")+2:], ", ") {
			var k int
			_, err := fmt.Sscanf(part, "%d of", &k)
			require.NoError(t, err, said)
			total += k
		}
		require.Equal(t, lost, uint64(total), said)
		require.Zero(t, m.Health().Storage.Lost)
		_, err = m.ReportError(t.Context(), nthID(0), laneswap.ErrorReport{Message: "one more"})
		require.NoError(t, err)
		stored := map[laneswap.ServiceID][]laneswap.Event{}
		for n := range services {
			h, err := m.History(t.Context(), nthID(n), laneswap.HistoryQuery{Limit: 10_000})
			require.NoError(t, err)
			stored[nthID(n)] = h.Events
		}
		m.crash(s)

		m = startWithStorage(t, disk)
		for id, st := range want {
			got := statusOf(t, m.Manager, id)
			require.Equal(t, st.Status, got.Status)
			require.Equal(t, st.Message, got.Message)
			require.Equal(t, st.Since, got.Since)
			require.Equal(t, st.Incident, got.Incident)
			first, last := edges(t, disk, id)
			require.Contains(t, first, "change 0", "the first transition is kept")
			if id == nthID(0) {
				require.Contains(t, last, "the last", "the latest transition is kept")
			} else {
				require.Contains(t, last, fmt.Sprint("change ", backlogOverflow-1), "the latest transition is kept")
			}
			require.NotEmpty(t, stored[id])
		}
		require.NoError(t, m.CheckBooks())
		m.stop(t)
	})
}

// edges are the first bad and the latest event of a service that are stored.
func edges(t *testing.T, disk *memorystore.Store, id laneswap.ServiceID) (first, last string) {
	t.Helper()
	for row, err := range disk.Rows(t.Context(), laneswap.RowQuery{Kind: laneswap.KindEvent, Service: string(id)}) {
		require.NoError(t, err)
		if first == "" && holdsEvent(row, laneswap.EventDown) {
			first = string(row.Data)
		}
		last = string(row.Data)
	}
	return first, last
}

func TestBacklog_crashLeavesNoHalfChange(t *testing.T) {
	t.Parallel()
	for commits, how := range map[int]storagetest.How{1: storagetest.Refuse, 2: storagetest.Half, 5: storagetest.Refuse, 6: storagetest.Half, 9: storagetest.Half} {
		t.Run(fmt.Sprint(commits, " commits"), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const services, times = 20, 101
				disk, faulty, s, m := startThenLoseStorage(t, services, laneswap.WithNotifier(newHangingNotifier("team")))
				changeStatuses(t, m.Manager, services, times)
				time.Sleep(6 * time.Second) // less than until the notifier is given up
				require.Equal(t, "degraded", m.Health().Storage.State)
				faulty.Heal()
				faulty.Inject(storagetest.Fault{Op: storagetest.Commit, At: commits + 1, How: how})
				faulty.Inject(storagetest.Fault{Op: storagetest.Commit, At: commits + 2, Times: -1})
				time.Sleep(8 * time.Second)
				m.crash(s)
				require.Greater(t, countRows(t, disk, laneswap.KindEvent), services+100*(commits-1))

				team := &namedNotifier{name: "team"}
				m = startWithStorage(t, disk, laneswap.WithNotifier(team))
				synctest.Wait()
				for n := range services {
					evs := eventsOf(t, m.Manager, laneswap.EventQuery{Service: nthID(n)})
					last := evs[len(evs)-1]
					st := statusOf(t, m.Manager, nthID(n))
					require.Equal(t, last.To, st.Status)
					require.Equal(t, last.At, st.Since)
					require.Equal(t, last.Message, st.Message)
					var notable []string
					for i, ev := range evs {
						require.True(t, strings.HasSuffix(ev.ID, fmt.Sprint("/", i+1)), ev.ID)
						if i > 0 {
							notable = append(notable, ev.ID+ev.At.String())
						}
					}
					require.Equal(t, notable, team.of(nthID(n), notable), "told of all that is stored, in its order")
					h, err := m.History(t.Context(), nthID(n), laneswap.HistoryQuery{})
					require.NoError(t, err)
					require.Len(t, h.Spans, len(evs)+1, "each ends with an event")
					status := laneswap.StatusWarning
					require.NoError(t, m.Beat(t.Context(), nthID(n), laneswap.Heartbeat{Status: status}))
				}
				require.NoError(t, m.Sync(t.Context()))
				require.NotContains(t, kindsOf(t, m.Manager), laneswap.EventStorageLost)
				require.NoError(t, m.CheckBooks())
				m.stop(t)
			})
		})
	}
}
