package outbox_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/outbox"
)

// restart makes a queue with the open notices of another one.
func (p *player) restart(away time.Duration, set func(cfg *outbox.Config), events ...*outbox.Event) *player {
	p.t.Helper()
	next := newPlayer(p.t, set)
	next.now, next.events, next.bad = p.now, p.events, p.bad
	next.sleep(away)
	for _, ev := range events {
		n, ok := p.queue.Find(ev)
		if !ok {
			n = p.notices[ev.ID]
		}
		if n.Over() {
			continue
		}
		n.MarkNoted()
		next.queue.Restore(&n, next.now)
	}
	return next
}

func TestRestore_sendsWhatIsPending(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, nil)
	down, up := p.down("db"), p.up("db")
	next := p.restart(time.Hour, nil, down, up)
	next.pass(0)
	require.Equal(t, []string{down.ID, up.ID}, eventIDs(next.delivered()...), "at once, and together")
	next.rests()
}

func TestRestore_repeatsNothingAndSendsTheEnd(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, atOnce)
	down := p.down("db")
	p.pass(time.Minute)
	next := p.restart(time.Hour, func(cfg *outbox.Config) {
		cfg.GroupWait = 0
		cfg.Wants = func(*outbox.Event) (bool, string) { return false, "none" }
	}, down)
	require.Equal(t, []outbox.Restored{{Service: "db", Incident: down.ID, Sequence: down.Sequence}}, next.queue.Restored())
	next.pass(time.Minute)
	require.Empty(t, next.calls)
	up := next.up("db")
	next.pass(0)
	require.Equal(t, []string{up.ID}, eventIDs(next.delivered()...))
}

func TestRestore_goesOnWithThresholdsAndReminders(t *testing.T) {
	t.Parallel()
	remind := func(cfg *outbox.Config) { cfg.GroupWait, cfg.Remind = 0, time.Hour }
	p := newPlayer(t, remind)
	told := p.down("db")
	held := p.event("web", outbox.Down, "error")
	p.offer(held, outbox.EventContext{Delay: &outbox.Delay{Threshold: outbox.Threshold{For: time.Hour}, Until: p.now.Mono + int64(time.Hour)}})
	p.pass(time.Minute)
	next := p.restart(29*time.Minute, remind, told, held)
	require.True(t, next.queue.Delayed("web"))
	next.pass(29*time.Minute + 59*time.Second)
	require.Empty(t, next.calls)
	next.pass(time.Second)
	require.ElementsMatch(t, []string{"db", "web"}, services(next.delivered()...))
}

func TestReconcile_endsWhatIsOverAndSkipsWhatWasNotAlerted(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, atOnce)
	told := p.down("db")
	held := p.event("web", outbox.Down, "error")
	p.offer(held, outbox.EventContext{Delay: &outbox.Delay{Threshold: outbox.Threshold{For: time.Hour}, Until: p.now.Mono + int64(time.Hour)}})
	p.pass(time.Minute)
	next := p.restart(time.Minute, atOnce, told, held)
	gone := next.queue.Reconcile("db", nil, next.now)
	require.Len(t, gone, 1)
	require.True(t, gone[0].Over())
	skipped := next.queue.Reconcile("web", nil, next.now)
	require.Len(t, skipped, 1)
	require.Equal(t, outbox.Skipped, skipped[0].State)
	next.pass(2 * time.Hour)
	require.Empty(t, next.calls)
	require.Empty(t, next.queue.Restored())
}

func TestReconcile_badAgainSkipsTheRecovery(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, atOnce)
	told := p.down("db")
	p.pass(0)
	up := p.event("db", outbox.Recovered, "healthy")
	p.offer(up, outbox.EventContext{Delay: &outbox.Delay{Recovery: true, Threshold: outbox.Threshold{For: time.Hour}, Until: p.now.Mono + int64(time.Hour)}})
	next := p.restart(time.Minute, atOnce, told, up)
	skipped := next.queue.Reconcile("db", told, next.now)
	require.Len(t, skipped, 1)
	require.Equal(t, up.ID, skipped[0].Event.ID)
	next.pass(2 * time.Hour)
	require.Empty(t, next.calls)
}
