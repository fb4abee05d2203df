package table_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/table"
)

func past() laneswap.History {
	from := now.Add(-24 * time.Hour)
	return laneswap.History{
		Service: "billing@web-1", From: from, To: now, KnownFrom: now.Add(-20 * time.Hour),
		Up: 19*time.Hour + 15*time.Minute, Down: 35 * time.Minute, Unknown: 4 * time.Hour, Absent: 10 * time.Minute,
		IncidentCount: 2, Recovered: 1, MeanTimeToRecovery: 25 * time.Minute,
		Spans: []laneswap.Span{
			{State: laneswap.SpanUp, Status: laneswap.StatusHealthy, From: now.Add(-20 * time.Hour), To: now.Add(-90 * time.Minute), Beats: 2220, LongestGap: 31 * time.Second, Message: "queue\tdrained\x1b[31m"},
			{State: laneswap.SpanDown, Status: laneswap.StatusStale, From: now.Add(-90 * time.Minute), To: now.Add(-65 * time.Minute)},
			{State: laneswap.SpanUp, Status: laneswap.StatusHealthy, From: now.Add(-65 * time.Minute), To: now.Add(-10 * time.Minute), Beats: 110, LongestGap: 30 * time.Second},
			{State: laneswap.SpanDown, Status: laneswap.StatusCritical, From: now.Add(-10 * time.Minute), Beats: 20, LongestGap: 30 * time.Second, Message: strings.Repeat("no disk ", 20)},
		},
		Incidents: []laneswap.PastIncident{
			{ID: "a/1", StartedAt: now.Add(-90 * time.Minute), EndedAt: now.Add(-65 * time.Minute), Duration: 25 * time.Minute, Worst: laneswap.StatusStale, Cause: "silent for longer than 1m0s"},
			{ID: "a/2", StartedAt: now.Add(-10 * time.Minute), Duration: 10 * time.Minute, Worst: laneswap.StatusCritical, Cause: "reported critical: " + strings.Repeat("no disk ", 20)},
		},
		Absences:  []laneswap.Absence{{From: now.Add(-12 * time.Hour), To: now.Add(-12*time.Hour + 10*time.Minute)}},
		Truncated: true,
	}
}

func TestHistory_fitsEightyColumns(t *testing.T) {
	t.Parallel()
	require.Equal(t, `ID:       billing@web-1
Period:   2025-03-03T12:00:00Z to 2025-03-04T12:00:00Z (24h00m)
Known:    only from 2025-03-03T16:00:00Z on
Uptime:   97.059 %
Up:       19h15m
Down:     35m00s in 2 incidents, 1 recovered
MTTR:     25m00s, the mean time to recovery
Unknown:  4h00m
Absent:   10m00s, in which LaneSwap itself could not receive heartbeats
Listed:   the newest only; --limit lists more

STATUS    FROM                  FOR     BEATS  GAP  MESSAGE
healthy   2025-03-03T16:00:00Z  18h30m  2220   31s  queue drained[31m
stale     2025-03-04T10:30:00Z  25m00s  0      -    -
healthy   2025-03-04T10:55:00Z  55m00s  110    30s  -
critical  2025-03-04T11:50:00Z  10m00s  20     30s  no disk no disk no disk no …

INCIDENT              LASTED         WORST     CAUSE
2025-03-04T10:30:00Z  25m00s         stale     silent for longer than 1m0s
2025-03-04T11:50:00Z  10m00s so far  critical  reported critical: no disk no di…

ABSENCE               LASTED
2025-03-04T00:00:00Z  10m00s
`, write(t, func(b *strings.Builder) error { return table.History(b, past(), table.Options{Now: now, Width: 80}) }))
}

func TestHistory_saysWhenNothingIsKnown(t *testing.T) {
	t.Parallel()
	h := laneswap.History{Service: "a", From: now.Add(-time.Hour), To: now, KnownFrom: now, Unknown: time.Hour}
	require.Equal(t, `ID:       a
Period:   2025-03-04T11:00:00Z to 2025-03-04T12:00:00Z (1h00m)
Known:    nothing of this period
Uptime:   -
Up:       0s
Down:     0s
Unknown:  1h00m
`, write(t, func(b *strings.Builder) error { return table.History(b, h, table.Options{Now: now}) }))
}

func TestHistory_isNotRoundedToPerfection(t *testing.T) {
	t.Parallel()
	for want, h := range map[string]laneswap.History{
		"100.000 %": {Up: time.Hour},
		"99.999 %":  {Up: 400 * 24 * time.Hour, Down: time.Millisecond},
		"0.001 %":   {Up: time.Millisecond, Down: 400 * 24 * time.Hour},
		"0.000 %":   {Down: time.Hour},
		"50.000 %":  {Up: time.Hour, Down: time.Hour},
		"38ms":      {Up: 38 * time.Millisecond},
		"1s":        {Up: 1038 * time.Millisecond},
	} {
		require.Contains(t, write(t, func(b *strings.Builder) error { return table.History(b, h, table.Options{Now: now}) }), "  "+want+"\n")
	}
}

func TestErrors_areOneCleanLineEach(t *testing.T) {
	t.Parallel()
	list := []laneswap.ErrorRecord{
		{ID: "a/2", Service: "a", At: now, Type: "TimeoutError", Message: "no\nanswer\x1b]0;x\x07", Stack: "main.go:1"},
		{ID: "a/1", Service: "a", At: now.Add(-time.Hour), Stack: "panic\ngoroutine 1"},
		{ID: "a/0", Service: "a", At: now.Add(-time.Hour), Type: strings.Repeat("T", 128), Message: strings.Repeat("m", 200)},
	}
	out := write(t, func(b *strings.Builder) error { return table.Errors(b, list, table.Options{Now: now, Width: 80}) })
	require.Equal(t, `TIME                  TYPE                              MESSAGE
2025-03-04T12:00:00Z  TimeoutError                      no answer]0;x
2025-03-04T11:00:00Z  -                                 panic goroutine 1
2025-03-04T11:00:00Z  TTTTTTTTTTTTTTTTTTTTTTTTTTTTTTT…  mmmmmmmmmmmmmmmmmmmmmmm…
`, out)
}

func TestEvents_ofLaneSwapItselfBelongToNoService(t *testing.T) {
	t.Parallel()
	list := append(events(),
		laneswap.Event{Sequence: 9, At: now, Kind: laneswap.EventStorageAway, Message: "the storage\ndoes not answer"},
		laneswap.Event{Sequence: 10, At: now, Kind: laneswap.EventStorageBack, Message: "12 rows waited", Duration: 90 * time.Second})
	require.Equal(t, `SEQUENCE  TIME                      KIND          SERVICE        FROM     TO       AFTER  MESSAGE
7         2025-03-04T11:56:40.000Z  down          billing@web-1  healthy  stale    -      queue drained
8         2025-03-04T12:00:00.000Z  recovered     billing@web-1  stale    healthy  3m20s  -
9         2025-03-04T12:00:00.000Z  storage_away  -              -        -        -      the storage does not answer
10        2025-03-04T12:00:00.000Z  storage_back  -              -        -        1m30s  12 rows waited
`, write(t, func(b *strings.Builder) error { return table.Events(b, list, table.Options{Now: now}) }))
	require.Equal(t, `     9  2025-03-04T12:00:00.000Z  storage_away  the storage does not answer
    10  2025-03-04T12:00:00.000Z  storage_back  after 1m30s  12 rows waited
`, write(t, func(b *strings.Builder) error {
		for _, ev := range list[2:] {
			if err := table.Event(b, ev, table.Options{}); err != nil {
				return err
			}
		}
		return nil
	}))
}
