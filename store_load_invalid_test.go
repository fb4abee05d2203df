package laneswap_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// invalidData is a row that is well formed and says what cannot be.
func invalidData(kind laneswap.Kind, id, data string) laneswap.Row {
	return laneswap.Row{Kind: kind, ID: id, Service: "svc", At: time.Now().UTC(), Open: kind == laneswap.KindService, Data: []byte(data)}
}

func TestStart_invalidStatusStopsNothing(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"status":   `{"v":1,"id":"svc","name":"svc","status":"maintenance","created_at":"2000-01-01T00:00:00Z","armed":true}`,
		"reported": `{"v":1,"id":"svc","name":"svc","status":"healthy","reported":"maintenance","created_at":"2000-01-01T00:00:00Z","armed":true}`,
		"empty":    `{"v":1,"id":"svc"}`,
		"null":     `null`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				disk := memorystore.New()
				putRows(t, disk, invalidData(laneswap.KindService, "svc", data))
				m := startWithStorage(t, disk)
				if name == "status" || name == "empty" {
					require.Contains(t, kindsOf(t, m.Manager), laneswap.EventStorageDamaged)
				}
				_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
				require.NoError(t, err)
				st, err := m.Report(t.Context(), "svc", laneswap.Heartbeat{})
				require.NoError(t, err)
				require.Equal(t, laneswap.StatusHealthy, st.ReportedStatus)
				time.Sleep(time.Hour)
				require.Equal(t, laneswap.StatusStale, statusOf(t, m.Manager, "svc").Status)
				require.NoError(t, m.CheckBooks())
				m.stop(t)
			})
		})
	}
}

func TestReplay_leavesOutAnEventWithAnInvalidStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := storageAfter(t, func(m *laneswap.Manager) {
			require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc"}, laneswap.Heartbeat{}))
		})
		var state struct {
			Born int64 `json:"born"`
		}
		for row, err := range disk.Rows(t.Context(), laneswap.RowQuery{Kind: laneswap.KindService}) {
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(row.Data, &state))
		}
		id := fmt.Sprintf("svc/%s-1/9", strconv.FormatInt(state.Born, 36))
		putRows(t, disk, invalidData(laneswap.KindEvent, id, fmt.Sprintf(
			`{"v":1,"event":{"id":%q,"sequence":7,"kind":"down","service":"svc","to":"error"},"state":{"v":1,"id":"svc","status":"maintenance"}}`, id)))
		m := startWithStorage(t, disk)
		require.Contains(t, kindsOf(t, m.Manager), laneswap.EventStorageDamaged)
		require.Equal(t, laneswap.StatusHealthy, statusOf(t, m.Manager, "svc").Status)
		m.stop(t)
	})
}

// Judged already and not stale: the loop that watches would judge it for ever.
func TestStart_aStateThatContradictsItselfIsJudgedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		putRows(t, disk, invalidData(laneswap.KindService, "svc",
			`{"v":1,"id":"svc","name":"svc","status":"healthy","judged":true,"armed":true,"armed_at":946684800000,"born":946684800000,"created_at":"2000-01-01T00:00:00Z"}`))
		m := startWithStorage(t, disk)
		time.Sleep(time.Hour)
		require.Equal(t, laneswap.StatusStale, statusOf(t, m.Manager, "svc").Status)
		require.Equal(t, []laneswap.EventKind{laneswap.EventDown}, kindsOf(t, m.Manager))
		m.stop(t)
	})
}

func TestStart_numbersThatNoEventHasAreNotContinued(t *testing.T) {
	t.Parallel()
	for name, planted := range map[string]func() laneswap.Row{
		"the highest": func() laneswap.Row {
			return invalidData(laneswap.KindEvent, "svc/x-1/1", `{"v":1,"event":{"id":"svc/x-1/1","sequence":18446744073709551615,"kind":"down","service":"svc"}}`)
		},
		"none": func() laneswap.Row {
			return invalidData(laneswap.KindEvent, "svc/x-1/1", `{"v":1,"event":{"id":"svc/x-1/1","kind":"down","service":"svc"}}`)
		},
		"the highest as the next": func() laneswap.Row { return aliveRow(`{"v":1,"journal":"j","next":18446744073709551615}`) },
		"none as the next":        func() laneswap.Row { return aliveRow(`{"v":1,"journal":"j"}`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				disk := memorystore.New()
				row := planted()
				row.Service = "" // the history of svc is not asked for it
				putRows(t, disk, row)
				time.Sleep(time.Second)
				for life := range uint64(2) {
					m := startWithStorage(t, disk)
					require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc", NoDeadline: true}, laneswap.Heartbeat{}))
					_, err := m.Report(t.Context(), "svc", laneswap.Heartbeat{Status: bad})
					require.NoError(t, err)
					_, err = m.Report(t.Context(), "svc", laneswap.Heartbeat{})
					require.NoError(t, err)
					numbers := map[uint64]bool{}
					for _, ev := range historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{}).Events {
						require.Less(t, ev.Sequence, uint64(1)<<40)
						require.False(t, numbers[ev.Sequence])
						numbers[ev.Sequence] = true
					}
					require.Len(t, numbers, int(2*(life+1))+1, "%v", numbers)
					require.Contains(t, kindsOf(t, m.Manager), laneswap.EventRecovered, "a listing goes to the newest")
					m.stop(t)
				}
			})
		})
	}
}

func TestHistory_timesThatCannotBeCountNoMomentTwice(t *testing.T) {
	t.Parallel()
	for name, times := range map[string]string{
		"begins too early": `"from":-4000000000000000000,"to":%[2]d`,
		"ends too late":    `"from":%[1]d,"to":4000000000000000000`,
		"is the wrong way": `"from":%[2]d,"to":%[1]d`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				disk := memorystore.New()
				m := startWithStorage(t, disk)
				begun := time.Now()
				alternateHourly(t, m.Manager, "svc", 4)
				require.NoError(t, m.Sync(t.Context()))
				for row, err := range disk.Rows(t.Context(), laneswap.RowQuery{Kind: "span", Descending: true, Limit: 1}) {
					require.NoError(t, err)
					row.Data = fmt.Appendf(nil, `{"v":1,"born":%d,"number":4,"state":"down","status":"error",`+times+`}`,
						begun.UnixMilli(), begun.Add(3*time.Hour).UnixMilli(), begun.Add(4*time.Hour).UnixMilli())
					putRows(t, disk, row)
				}
				time.Sleep(time.Hour)
				h := historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{From: begun.Add(-time.Hour)})
				for _, part := range []time.Duration{h.Up, h.Down, h.Unknown, h.Absent} {
					require.GreaterOrEqual(t, part, time.Duration(0), "%+v", h)
				}
				require.Equal(t, h.To.Sub(h.From), h.Up+h.Down+h.Unknown+h.Absent)
				m.stop(t)
			})
		})
	}
}
