package table_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/table"
)

func notifiers() []laneswap.NotifierStatus {
	return []laneswap.NotifierStatus{
		{Name: "discord", State: laneswap.NotifierOK, Sent: 12, LastSent: now.Add(-3 * time.Second)},
		{
			Name: "web\x1b[31mhook", State: laneswap.NotifierRetrying, Waiting: 3, Oldest: now.Add(-20 * time.Minute), Dead: 2,
			LastError: "503\nService Unavailable", LastErrorAt: now.Add(-10 * time.Second), RetryAt: now.Add(50 * time.Second),
		},
	}
}

func TestNotifiers_areAlignedAndClean(t *testing.T) {
	t.Parallel()
	require.Equal(t, `NOTIFIER     STATE     WAITING  OLDEST  SENT  GIVEN UP  LAST SENT  RETRY IN  LAST ERROR
discord      ok        0        -       12    0         3s         -         -
web[31mhook  retrying  3        20m00s  0     2         -          50s       10s ago: 503 Service Unavailable
`, write(t, func(b *strings.Builder) error { return table.Notifiers(b, notifiers(), table.Options{Now: now}) }))
	list := notifiers()
	list[0].Name = strings.Repeat("n", 100)
	out := write(t, func(b *strings.Builder) error { return table.Notifiers(b, list, table.Options{Now: now, Width: 100}) })
	for line := range strings.Lines(out) {
		require.LessOrEqual(t, inCells(strings.TrimSuffix(line, "\n")), 100)
	}
	require.Contains(t, out, "\nweb[31mhook, 10s ago: 503 Service Unavailable\n")
}

func TestNotifiers_errorsAreWholeInANarrowTerminal(t *testing.T) {
	t.Parallel()
	list := notifiers()
	list[1].LastError = "discord: there is no such webhook, or no such thread: it answered 404: code 10015, Unknown Webhook"
	require.Equal(t, `NOTIFIER     STATE     WAITING  OLDEST  SENT  GIVEN UP  LAST SENT  RETRY IN
discord      ok        0        -       12    0         3s         -
web[31mhook  retrying  3        20m00s  0     2         -          50s
web[31mhook, 10s ago: discord: there is no such webhook, or no such thread: it
    answered 404: code 10015, Unknown Webhook
`, write(t, func(b *strings.Builder) error {
		return table.Notifiers(b, list, table.Options{Now: now, Width: 80})
	}))
}

func TestExplanation_breaksLinesAndCutsNoReason(t *testing.T) {
	t.Parallel()
	reason := "told in spite of its filter (level warning or louder): the notifier was told that it was bad " + strings.Repeat("x", 90)
	explained := laneswap.Explanation{Event: events()[0], Notices: []laneswap.NoticeTrace{
		{Notifier: strings.Repeat("n", 64), State: laneswap.NoticeSent, MessageID: "13", Steps: []laneswap.TraceStep{{At: now, Text: reason}}},
	}}
	for width := 1; width < 200; width++ {
		out := write(t, func(b *strings.Builder) error {
			return table.Explanation(b, explained, table.Options{Now: now, Width: width})
		})
		for line := range strings.Lines(out) {
			require.LessOrEqual(t, inCells(strings.TrimSuffix(line, "\n")), width)
		}
		require.Contains(t, strings.Join(strings.Fields(out), ""), strings.ReplaceAll(reason, " ", ""), "width %d", width)
	}
	require.Contains(t, write(t, func(b *strings.Builder) error {
		return table.Explanation(b, explained, table.Options{Now: now, Width: 80})
	}), `
  2025-03-04T12:00:00.000Z  told in spite of its filter (level warning or
                            louder): the notifier was told that it was bad
                            xxx`)
}

func TestNotifierTest_isALine(t *testing.T) {
	t.Parallel()
	for want, test := range map[string]laneswap.NotifierTest{
		"discord: delivered as message 13\n":                       {Notifier: "discord", Delivered: true, MessageID: "13"},
		"slog: delivered\n":                                        {Notifier: "slog", Delivered: true},
		"webhook: not delivered: 401 Unauthorized [2J come back\n": {Notifier: "webhook", Error: "401 Unauthorized\n\x1b[2J come back"},
	} {
		require.Equal(t, want, write(t, func(b *strings.Builder) error { return table.NotifierTest(b, test, table.Options{}) }))
	}
}

func TestExplanation_showsTheEventAndEachNotice(t *testing.T) {
	t.Parallel()
	ev := events()[1]
	ev.ID, ev.Name, ev.Cause = "billing@web-1/a-1/2", "Billing\x1b", "silent for longer than 1m0s"
	explained := laneswap.Explanation{Event: ev, Notices: []laneswap.NoticeTrace{
		{Notifier: "discord", State: laneswap.NoticeSent, MessageID: "13", Attempts: 1, Steps: []laneswap.TraceStep{
			{At: now, Text: "gathered with 2 others"}, {At: now.Add(5 * time.Second), Text: "in a\ndigest " + strings.Repeat("\u9b5a", 40)},
		}},
		{Notifier: "webhook", State: laneswap.NoticeWaiting, Attempts: 4},
	}}
	out := write(t, func(b *strings.Builder) error {
		return table.Explanation(b, explained, table.Options{Now: now, Width: 60})
	})
	require.Equal(t, `Event:    billing@web-1/a-1/2
Time:     2025-03-04T12:00:00.000Z
Service:  billing@web-1 (Billing)
What:     recovered, stale -> healthy after 3m20s
Cause:    silent for longer than 1m0s
discord: sent as message 13, 1 attempt
  2025-03-04T12:00:00.000Z  gathered with 2 others
  2025-03-04T12:00:05.000Z  in a digest
                            `+strings.Repeat("\u9b5a", 16)+`
                            `+strings.Repeat("\u9b5a", 16)+`
                            `+strings.Repeat("\u9b5a", 8)+`
webhook: waiting, 4 attempts
`, out)

	own := laneswap.Event{ID: "/laneswap/x", At: now, Kind: laneswap.EventStorageBack, Message: "12 rows waited", Duration: time.Minute}
	require.Equal(t, `Event:    /laneswap/x
Time:     2025-03-04T12:00:00.000Z
What:     storage_back after 1m00s
Message:  12 rows waited
Notices:  none, no notifier gets this event
`, write(t, func(b *strings.Builder) error {
		return table.Explanation(b, laneswap.Explanation{Event: own}, table.Options{})
	}))
}

func TestService_showsItsThresholds(t *testing.T) {
	t.Parallel()
	st := services()[2]
	st.AlertAfter, st.RecoverAfter = laneswap.Threshold{Beats: 3}, laneswap.Threshold{For: 90 * time.Second}
	require.Contains(t, write(t, func(b *strings.Builder) error { return table.Service(b, st, table.Options{Now: now}) }), `
Window:         none, it never becomes stale
Alert after:    3 heartbeats
Recover after:  1m30s
`)
	st.AlertAfter = laneswap.Threshold{Beats: 1}
	require.Contains(t, write(t, func(b *strings.Builder) error { return table.Service(b, st, table.Options{Now: now}) }), "Alert after:    1 heartbeat\n")
}
