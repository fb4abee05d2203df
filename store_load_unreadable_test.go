package laneswap_test

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
)

func TestHistory_unreadableRowHidesNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		m := startWithStorage(t, disk)
		alternateHourly(t, m.Manager, "svc", 6)
		for range 3 {
			reportError(t, m.Manager, "svc", laneswap.ErrorReport{Message: "older"})
		}
		want := historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{})
		require.Len(t, want.Spans, 8)
		m.stop(t)
		torn := []laneswap.Kind{"span", kindAbsence, laneswap.KindEvent, laneswap.KindError}
		for _, kind := range torn {
			row := invalidData(kind, "svc/torn/"+string(kind), `{"v":1,`)
			if kind == kindAbsence {
				row.Service = ""
			}
			putRows(t, disk, row, invalidData(kind, "svc/newer/"+string(kind), `{"v":99}`))
		}

		var logged logBuffer
		m = startWithStorage(t, disk, laneswap.WithEventBuffer(1), laneswap.WithLogger(slog.New(slog.NewTextHandler(&logged, nil))))
		before := len(logged.String())
		h := historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{})
		require.Len(t, h.Spans, len(want.Spans))
		require.Equal(t, want.Incidents, h.Incidents)
		var told []laneswap.Event
		for _, ev := range h.Events {
			if ev.Service == "svc" {
				told = append(told, ev)
			}
		}
		require.Equal(t, want.Events, told)
		said := logged.String()[before:]
		require.Contains(t, said, "4 rows")
		require.Equal(t, 2, strings.Count(said, "left out"), "once of the past, once of the events: %s", said)
		require.Len(t, errorsOf(t, m.Manager, "svc", laneswap.ErrorQuery{}), 3)
		st, err := m.Service(t.Context(), "svc")
		require.NoError(t, err)
		require.NotEmpty(t, st.Events)
		require.False(t, h.Truncated)
		require.True(t, historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{Limit: 1}).Truncated)
		time.Sleep(time.Second)
		m.stop(t)
	})
}
