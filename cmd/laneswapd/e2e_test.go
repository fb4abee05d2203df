//go:build unix

package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

// window is the silence allowed to the wrapped programs: five of their
// intervals, so that a busy machine does not make them stale.
const window = time.Second

// prompt is how soon after its deadline a stale event must have been received.
const prompt = 100 * time.Millisecond

// transition is what an event says, without its times.
type transition struct {
	kind     laneswap.EventKind
	service  laneswap.ServiceID
	from, to laneswap.Status
}

func of(ev laneswap.Event) transition { return transition{ev.Kind, ev.Service, ev.From, ev.To} }

// TestMonitor_seesRealProgramsLiveAndDie is the main job from end to end: three
// real programs under laneswap exec, of which one's wrapper is killed and
// started again, one fails, and one ends well.
func TestMonitor_seesRealProgramsLiveAndDie(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test starts real programs and waits for real silence")
	}
	best := time.Hour
	for attempt := 1; attempt <= 3 && best > prompt; attempt++ {
		t.Run(fmt.Sprint("attempt ", attempt), func(t *testing.T) {
			best = min(best, lifeAndDeath(t))
		})
	}
	require.LessOrEqual(t, best, prompt, "how late the stale event was, at best")
}

// lifeAndDeath plays the scenario once and returns how late the stale event was.
func lifeAndDeath(t *testing.T) (lateness time.Duration) {
	d := startDaemon(t, "0")
	events := d.stream(t, nil, "?after=0")

	// Three programs come up, one after the other.
	const waits = "read line; "
	killed := d.wrap(t, "killed", waits)
	up := next(t, events)
	require.Equal(t, transition{"up", "killed", "unknown", "healthy"}, of(up.Event))
	failing := d.wrap(t, "failing", "echo copying; "+waits+"echo 'no space left' >&2; exit 3")
	require.Equal(t, transition{"up", "failing", "unknown", "healthy"}, of(next(t, events).Event))
	fine := d.wrap(t, "fine", waits+"echo done")
	require.Equal(t, transition{"up", "fine", "unknown", "healthy"}, of(next(t, events).Event))

	// A wrapper is killed: silence, then stale, at its deadline.
	killed.signal(t, syscall.SIGKILL)
	stale := next(t, events)
	require.Equal(t, transition{"down", "killed", "healthy", "stale"}, of(stale.Event))
	last := d.service(t, "killed").LastHeartbeat
	require.Equal(t, last, stale.SilentSince)
	require.WithinDuration(t, last.Add(window), stale.At, time.Millisecond, "its own time is its deadline")
	require.Equal(t, stale.At, stale.StartedAt)
	lateness = stale.at.Sub(stale.At)
	require.GreaterOrEqual(t, lateness, -2*time.Millisecond, "an event from the future")

	// Started again under the same id: recovered.
	began := time.Now()
	again := d.wrap(t, "killed", waits)
	recovered := next(t, events)
	require.Equal(t, transition{"recovered", "killed", "stale", "healthy"}, of(recovered.Event))
	require.Equal(t, stale.Incident, recovered.Incident)
	require.Equal(t, stale.At, recovered.StartedAt)
	require.Equal(t, recovered.At.Sub(stale.At), recovered.Duration, "from the deadline to the first beat")
	require.False(t, recovered.At.Before(began.Truncate(time.Millisecond)), "nobody beat before")
	require.False(t, recovered.At.After(recovered.at))

	// Another fails: error, with status and output.
	failing.say(t, "go")
	require.Equal(t, 3, failing.ended(t))
	require.Equal(t, "copying\n", failing.stdout.String())
	require.Equal(t, "no space left\n", failing.stderr.String())
	failure := next(t, events)
	require.Equal(t, transition{"down", "failing", "healthy", "error"}, of(failure.Event))
	require.True(t, strings.HasPrefix(failure.Message, "exit status 3\n"), failure.Message)
	require.Contains(t, failure.Message, "copying")
	require.Contains(t, failure.Message, "no space left")

	// The third ends well: a goodbye, and no alarm. Nothing more happens, however
	// long they are silent now.
	fine.say(t, "go")
	require.Equal(t, 0, fine.ended(t))
	require.Equal(t, "done\n", fine.stdout.String())
	require.Equal(t, laneswap.StatusShutdown, d.service(t, "fine").Status)
	none(t, events, window+window/4)
	require.Equal(t, laneswap.StatusShutdown, d.service(t, "fine").Status)
	require.Equal(t, laneswap.StatusError, d.service(t, "failing").Status)
	require.Equal(t, laneswap.StatusHealthy, d.service(t, "killed").Status)

	// Who comes later is told the same, once and in order.
	want := []laneswap.Event{stale.Event, recovered.Event, failure.Event}
	replay := d.stream(t, map[string]string{"Last-Event-ID": "3"}, "")
	for i, ev := range want {
		got := next(t, replay).Event
		require.Equal(t, ev, got)
		require.Equal(t, uint64(4+i), got.Sequence)
	}
	_, body := d.do(t, http.MethodGet, "/api/events", nil, "")
	var all struct{ Events []laneswap.Event }
	require.NoError(t, json.Unmarshal([]byte(body), &all))
	require.Len(t, all.Events, 6)
	require.Equal(t, want, all.Events[3:])

	// People are told of the three, in order, and of nothing else.
	var told []string
	for line := range strings.Lines(d.stderr.String()) {
		if strings.Contains(line, "kind=") {
			told = append(told, line[strings.Index(line, "kind="):strings.Index(line, " event=")])
		}
	}
	require.Equal(t, []string{
		"kind=down service=killed from=healthy to=stale",
		"kind=recovered service=killed from=stale to=healthy",
		"kind=down service=failing from=healthy to=error",
	}, told)

	// It stops in time although streams are open, which end.
	begun := time.Now()
	d.signal(t, syscall.SIGTERM)
	require.Equal(t, 0, d.ended(t))
	require.Less(t, time.Since(begun), 10*time.Second)
	_, open := <-events
	require.False(t, open)

	// The server has gone; the program does not care.
	again.say(t, "go")
	require.Equal(t, 0, again.ended(t))
	return lateness
}

func TestAgents_surviveTheServer(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test starts real programs")
	}
	t.Parallel()
	d := startDaemon(t, "0")
	ids := []string{"a", "b", "c"}
	var wrapped []*process
	for _, id := range ids {
		wrapped = append(wrapped, d.wrap(t, id, "read line; exit $line"))
	}
	healthy := func(d daemon) bool {
		_, body := d.do(t, http.MethodGet, "/api/services?status=healthy", nil, "")
		var list struct {
			Services map[string]laneswap.ServiceStatus
		}
		require.NoError(t, json.Unmarshal([]byte(body), &list))
		return len(list.Services) == len(ids)
	}
	eventually(t, "all are healthy", func() bool { return healthy(d) })

	d.signal(t, syscall.SIGKILL)
	require.Equal(t, -1, d.ended(t))
	port := d.url[strings.LastIndex(d.url, ":")+1:]
	d = startDaemon(t, port)
	events := d.stream(t, nil, "?after=0")
	for range ids {
		require.Equal(t, laneswap.EventUp, next(t, events).Kind)
	}
	require.True(t, healthy(d), "registered again")
	_, body := d.do(t, http.MethodGet, "/api/summary", nil, "")
	var sum laneswap.Summary
	require.NoError(t, json.Unmarshal([]byte(body), &sum))
	require.Equal(t, len(ids), sum.Total, "under the same ids")
	none(t, events, window+window/4)
	for i, p := range wrapped {
		p.say(t, fmt.Sprint(i))
		require.Equal(t, i, p.ended(t))
		require.Empty(t, p.stderr.String(), "the program never noticed")
	}
}
