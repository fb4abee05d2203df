package outbox_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/outbox"
)

func TestGrouping_upToTenAreMessagesOfTheirOwn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ services, messages int }{{1, 1}, {10, 10}, {11, 1}, {1000, 1}, {10_000, 1}, {10_001, 2}} {
		t.Run(fmt.Sprint(c.services), func(t *testing.T) {
			t.Parallel()
			p := newPlayer(t, nil)
			all := p.downAll(c.services)
			slices.Sort(all)
			p.pass(time.Minute)
			require.Len(t, p.calls, c.messages)
			got := services(p.delivered()...)
			slices.Sort(got)
			require.Equal(t, all, got)
			for _, call := range p.calls {
				require.Equal(t, 5*time.Second, call.at)
			}
		})
	}
}

func TestGrouping_isLongerInABurst(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, nil)
	p.downAll(20)
	p.pass(10 * time.Second)
	p.forget()
	p.down("a")
	p.down("b")
	p.pass(time.Minute)
	require.Len(t, p.calls, 1, "two services are a digest as well")
	require.Equal(t, 40*time.Second, p.calls[0].at, "grouped for 30 s")
	p.pass(2 * time.Minute)
	p.forget()
	begin := p.elapsed()
	p.up("a")
	p.up("b")
	p.pass(time.Minute)
	require.Len(t, p.calls, 2, "the burst is over")
	require.Equal(t, begin+5*time.Second, p.calls[0].at)
}

func TestGrouping_massSilenceIsAMessageOfItsOwn(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, nil)
	for _, s := range []string{"a", "b", "c"} {
		p.offer(p.event(s, outbox.Down, "stale"), outbox.EventContext{Mass: true})
	}
	p.down("other")
	p.pass(time.Minute)
	require.Len(t, p.calls, 2)
	require.Equal(t, outbox.KindMassSilence, p.calls[0].msg.Kind)
	require.Equal(t, []string{"a", "b", "c"}, services(p.calls[0].msg))
	require.Equal(t, outbox.KindEvent, p.calls[1].msg.Kind)
}

func TestGrouping_massSilenceLeavesOutThoseOfAnotherTime(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, nil)
	p.answer = fails(outbox.Failed)
	for _, s := range []string{"a", "b", "c"} {
		p.offer(p.event(s, outbox.Down, "stale"), outbox.EventContext{Mass: true})
	}
	p.pass(20 * time.Minute)
	p.offer(p.event("late", outbox.Down, "stale"), outbox.EventContext{})
	p.forget()
	p.answer = nil
	p.pass(time.Hour)
	for _, msg := range p.delivered() {
		if msg.Kind == outbox.KindMassSilence {
			require.NotContains(t, services(msg), "late")
		}
	}
	require.ElementsMatch(t, []string{"a", "b", "c", "late"}, services(p.delivered()...))
}

func TestFlapping_isReportedOnceAndThenSummarized(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, nil)
	var last *outbox.Event
	for i := range 10 {
		kind, to := outbox.Down, "error"
		if i%2 == 1 {
			kind, to = outbox.Recovered, "healthy"
		}
		last = p.event("db", kind, to)
		p.offer(last, outbox.EventContext{Changes: i + 1})
		p.pass(10 * time.Second)
	}
	require.Len(t, p.calls, 6, "five changes, and that it flaps")
	require.Equal(t, outbox.KindFlapping, p.calls[5].msg.Kind)
	require.Equal(t, 6, p.calls[5].msg.Parts[0].Flapping)
	require.Contains(t, p.steps(last)[0], "flapping, 10 changes or more in 30 minutes, already reported: grouped with later changes until ")
	p.pass(time.Hour)
	require.Len(t, p.calls, 7)
	require.Equal(t, p.calls[5].at+15*time.Minute, p.calls[6].at)
	require.Len(t, p.calls[6].msg.Parts[0].Events, 4)
	p.rests()
}

func TestDelay_isSentWhenTheThresholdIsReached(t *testing.T) {
	t.Parallel()
	for name, reach := range map[string]func(p *player){
		"by time":       func(p *player) { p.pass(time.Minute) },
		"by heartbeats": func(p *player) { p.queue.Redelay("db", nil, "", p.now) },
		"by an event": func(p *player) {
			p.offer(p.event("db", outbox.Worse, "critical"), outbox.EventContext{Reached: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlayer(t, atOnce)
			d := &outbox.Delay{Threshold: outbox.Threshold{Beats: 3}, Until: p.now.Mono + int64(time.Minute), From: p.now.Mono}
			ev := p.event("db", outbox.Down, "error")
			n := p.offer(ev, outbox.EventContext{Delay: d})
			require.Equal(t, outbox.Held, n.State)
			require.True(t, p.queue.Delayed("db"))
			p.pass(30 * time.Second)
			require.Empty(t, p.calls)
			reach(p)
			p.pass(0)
			require.Equal(t, []string{ev.ID}, eventIDs(p.delivered()...)[:1])
			require.Equal(t, []string{"threshold 1 of 3 (alert_after)", "threshold 3 of 3 reached (alert_after)"}, p.steps(ev)[:2])
			require.False(t, p.queue.Delayed("db"))
		})
	}
}

func TestDelay_recoveryBeforeTheAlertSendsNothing(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, atOnce)
	ev := p.event("db", outbox.Down, "error")
	p.offer(ev, outbox.EventContext{Delay: &outbox.Delay{Threshold: outbox.Threshold{For: time.Minute}, Until: p.now.Mono + int64(time.Minute), From: p.now.Mono}})
	p.pass(20 * time.Second)
	end := p.up("db")
	p.pass(time.Hour)
	require.Empty(t, p.calls)
	require.Equal(t, "recovered before the alert was due: threshold 20s of 1m0s (alert_after)", p.steps(ev)[1])
	require.Equal(t, []string{"no alert had been sent"}, p.steps(end))
	p.rests()
}

// A recovery that was not sent is deferred, so that the incident which the notifier
// knows gets its end.
func TestDelay_badAgainDefersTheRecovery(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		to   string
		sent int // events, when it is bad again
	}{{"error", 0}, {"critical", 2}} {
		t.Run(c.to, func(t *testing.T) {
			t.Parallel()
			p := newPlayer(t, atOnce)
			p.down("db")
			p.pass(0)
			p.forget()
			up := p.event("db", outbox.Recovered, "healthy")
			p.offer(up, outbox.EventContext{Delay: &outbox.Delay{Recovery: true, Threshold: outbox.Threshold{Beats: 3}, Until: p.now.Mono + int64(time.Hour)}})
			p.pass(time.Minute)
			again := p.event("db", outbox.Down, c.to)
			p.offer(again, outbox.EventContext{})
			p.pass(time.Minute)
			require.Len(t, eventIDs(p.delivered()...), c.sent)
			end := p.up("db")
			p.pass(time.Minute)
			require.Equal(t, []string{up.ID, again.ID, end.ID}, eventIDs(p.delivered()...))
		})
	}
}
