package table_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/table"
)

var now = time.Date(2025, 3, 4, 12, 0, 0, 0, time.UTC)

func services() []laneswap.ServiceStatus {
	return []laneswap.ServiceStatus{
		{
			ID: "billing@web-1", Name: "billing", Status: laneswap.StatusStale, ReportedStatus: laneswap.StatusHealthy,
			Since: now.Add(-200 * time.Second), LastHeartbeat: now.Add(-260 * time.Second), CreatedAt: now.Add(-72 * time.Hour),
			Message: "queue\tdrained\nwell", Interval: 30 * time.Second, Window: time.Minute, Beats: 41,
			Tags: []string{"web", "eu"}, Metadata: map[string]any{"cpu": 12.5, "note": "\u202egnp\u0085"},
			Incident: &laneswap.Incident{ID: "billing@web-1/a-1", StartedAt: now.Add(-200 * time.Second), Cause: "silent for longer than 1m0s"},
		},
		{
			ID: "mail", Name: "mail\x1b[31m\x1b]0;owned\x07 \u9b5a", Status: laneswap.StatusHealthy, ReportedStatus: laneswap.StatusHealthy,
			Since: now.Add(-5 * time.Hour), LastHeartbeat: now.Add(time.Second), Late: true, Deadline: now.Add(time.Minute),
		},
		{ID: "new", Name: "new", Status: laneswap.StatusUnknown, ReportedStatus: laneswap.StatusUnknown, Since: now.Add(-30 * 24 * time.Hour)},
	}
}

func events() []laneswap.Event {
	at := now.Add(-200 * time.Second)
	return []laneswap.Event{
		{Sequence: 7, At: at, Kind: laneswap.EventDown, Service: "billing@web-1", From: "healthy", To: "stale", Message: "queue\ndrained"},
		{Sequence: 8, At: now, Kind: laneswap.EventRecovered, Service: "billing@web-1", From: "stale", To: "healthy", Duration: 200 * time.Second},
	}
}

func write(t *testing.T, f func(*strings.Builder) error) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, f(&b))
	return b.String()
}

func TestServices_areAlignedAndClean(t *testing.T) {
	t.Parallel()
	require.Equal(t, `STATUS          ID             NAME                 SINCE   LAST BEAT  MESSAGE
stale           billing@web-1  billing              3m20s   4m20s      queue drained well
healthy (late)  mail           mail[31m]0;owned 魚  5h00m   0s         -
unknown         new            new                  30d00h  -          -
`, write(t, func(b *strings.Builder) error {
		return table.Services(b, services(), table.Options{Now: now})
	}))
}

func TestServices_longNameHidesNoOtherColumn(t *testing.T) {
	t.Parallel()
	list := services()
	list[0].ID = laneswap.ServiceID(strings.Repeat("i", 128))
	list[0].Name = strings.Repeat("\u9b5a", 128)
	list[2].Message = "what it says " + strings.Repeat("\U0001f41f", 200)
	for _, width := range []int{80, 160} {
		out := write(t, func(b *strings.Builder) error {
			return table.Services(b, list, table.Options{Now: now, Width: width})
		})
		lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		require.Len(t, lines, 4)
		at := 0
		for i, message := range []string{"MESSAGE", "queue drained well", "-", "what it says"} {
			require.LessOrEqual(t, inCells(lines[i]), width, lines[i])
			end := strings.LastIndex(lines[i], "  "+message)
			require.Positive(t, end, lines[i])
			if at == 0 {
				at = inCells(lines[i][:end])
			}
			require.Equal(t, at, inCells(lines[i][:end]), "aligned")
		}
		require.Contains(t, lines[1], "3m20s")
		require.Contains(t, lines[1], "4m20s")
		require.GreaterOrEqual(t, width-at-2, 20, "something of the message is seen")
	}
	out := write(t, func(b *strings.Builder) error { return table.Services(b, list, table.Options{Now: now}) })
	require.Contains(t, out, list[0].Name, "nothing is cut for a program that reads it")
}

func TestEvents_longIDHidesNoOtherColumn(t *testing.T) {
	t.Parallel()
	list := events()
	list[0].Service = laneswap.ServiceID(strings.Repeat("i", 128))
	out := write(t, func(b *strings.Builder) error {
		return table.Events(b, list, table.Options{Now: now, Width: 160})
	})
	require.Contains(t, out, strings.Repeat("i", 31)+"…  healthy  stale    -      queue drained\n")
	line := write(t, func(b *strings.Builder) error {
		return table.Event(b, list[0], table.Options{Now: now, Width: 160})
	})
	require.Contains(t, line, strings.Repeat("i", 31)+"…  queue drained\n")
}

// inCells is the width of s where all that is not Latin takes two cells.
func inCells(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r > 0x2fff {
			n++
		}
	}
	return n
}

func TestServices_areCutToTheWidth(t *testing.T) {
	t.Parallel()
	out := write(t, func(b *strings.Builder) error {
		return table.Services(b, services(), table.Options{Now: now, Width: 40})
	})
	for line := range strings.Lines(out) {
		require.LessOrEqual(t, len([]rune(line)), 41)
	}
	require.Contains(t, out, "stale           billing…  billing   3m2…\n")
}

func TestServices_cutWholeCharacters(t *testing.T) {
	t.Parallel()
	for width := 1; width < 120; width++ {
		out := write(t, func(b *strings.Builder) error {
			return table.Services(b, []laneswap.ServiceStatus{
				{ID: "a", Name: strings.Repeat("e\u0301", 40), Message: "1"}, {ID: "b", Name: strings.Repeat("\U0001f44d\U0001f3fd", 20), Message: "2"},
			}, table.Options{Now: now, Width: width})
		})
		require.NotRegexp(t, "e(…| |\n)", out, "an accent stays on its letter")
		require.NotRegexp(t, "\U0001f44d(…| |\n)", out, "a skin tone stays on its hand")
	}
}

func TestService_showsEverything(t *testing.T) {
	t.Parallel()
	st := services()[0]
	st.Events = events()
	require.Equal(t, `ID:          billing@web-1
Name:        billing
Status:      stale, reported healthy
Since:       2025-03-04T11:56:40.000Z (3m20s)
Last beat:   2025-03-04T11:55:40.000Z (4m20s)
Beats:       41
Registered:  2025-03-01T12:00:00.000Z (3d00h)
Interval:    30s
Window:      1m0s
Tags:        web, eu
Metadata:    {"cpu":12.5,"note":"gnp"}
Incident:    billing@web-1/a-1, 2025-03-04T11:56:40.000Z (3m20s): silent for longer than 1m0s
Message:
  queue drained
  well

SEQUENCE  TIME                      KIND       SERVICE        FROM     TO       AFTER  MESSAGE
7         2025-03-04T11:56:40.000Z  down       billing@web-1  healthy  stale    -      queue drained
8         2025-03-04T12:00:00.000Z  recovered  billing@web-1  stale    healthy  3m20s  -
`, write(t, func(b *strings.Builder) error { return table.Service(b, st, table.Options{Now: now}) }))

	require.Equal(t, `ID:          new
Name:        new
Status:      unknown
Since:       2025-02-02T12:00:00.000Z (30d00h)
Last beat:   -
Beats:       0
Registered:  -
Window:      none, it never becomes stale
`, write(t, func(b *strings.Builder) error { return table.Service(b, services()[2], table.Options{Now: now}) }))
}

func TestEvent_keepsItsColumns(t *testing.T) {
	t.Parallel()
	require.Equal(t, `     7  2025-03-04T11:56:40.000Z  down       healthy  -> stale     billing@web-1  queue drained
     8  2025-03-04T12:00:00.000Z  recovered  stale    -> healthy   billing@web-1  after 3m20s
`, write(t, func(b *strings.Builder) error {
		for _, ev := range events() {
			if err := table.Event(b, ev, table.Options{}); err != nil {
				return err
			}
		}
		return nil
	}))
}

func FuzzServices_actOnNoTerminal(f *testing.F) {
	f.Add("a\x1b]0;x\x07", "\u009b31m", 10)
	f.Fuzz(func(t *testing.T, name, message string, width int) {
		out := write(t, func(b *strings.Builder) error {
			return table.Services(b, []laneswap.ServiceStatus{{ID: "a", Name: name, Message: message}}, table.Options{Now: now, Width: width})
		})
		require.Equal(t, 2, strings.Count(out, "\n"))
		require.Equal(t, laneswap.Sanitize(strings.ReplaceAll(out, "\n", "")), strings.ReplaceAll(out, "\n", ""))
	})
}
