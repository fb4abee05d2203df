package outbox_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/outbox"
)

// tooLong is the answer of a receiver that accepts so many services in a message.
func tooLong(limit int) func(msg *outbox.Message) outbox.Result {
	return func(msg *outbox.Message) outbox.Result {
		if len(msg.Parts) > limit {
			return outbox.Result{Verdict: outbox.Refused, Text: "413"}
		}
		return outbox.Result{}
	}
}

func TestBatch_refusedDigestIsSplitUntilItFits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ services, limit, calls int }{{1000, 1000, 1}, {1000, 500, 3}, {1000, 300, 7}, {40, 1, 79}} {
		for _, mass := range []bool{false, true} {
			t.Run(fmt.Sprint(c.services, " services, limit ", c.limit, ", mass ", mass), func(t *testing.T) {
				t.Parallel()
				p := newPlayer(t, nil)
				p.answer = tooLong(c.limit)
				for i := range c.services {
					to := "error"
					if mass {
						to = "stale"
					}
					p.offer(p.event(fmt.Sprint("svc", i), outbox.Down, to), outbox.EventContext{Mass: mass && i > c.services/2})
				}
				p.pass(time.Minute)
				require.Len(t, p.calls, c.calls)
				require.Len(t, services(p.delivered()...), c.services, "each once")
				for _, msg := range p.delivered() {
					require.Equal(t, mass, msg.Kind == outbox.KindMassSilence)
				}
				p.rests()
			})
		}
	}
}

func TestBatch_onlyWhatIsRefusedAloneIsDropped(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, nil)
	p.answer = failsWith(outbox.Refused, "svc0007")
	p.downAll(30)
	p.pass(time.Minute)
	require.Len(t, services(p.delivered()...), 29)
	require.NotContains(t, services(p.delivered()...), "svc0007")
	require.LessOrEqual(t, len(p.calls), 11)
	require.Equal(t, uint64(1), p.queue.Status(p.now).Dead)
	require.Equal(t, outbox.OK, p.queue.Status(p.now).State)
	p.rests()
}

// The current status is tried without the events before it.
func TestBatch_refusedHistoryIsDroppedBeforeTheStatus(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, nil)
	first := p.down("db")
	last := p.event("db", outbox.Worse, "critical")
	p.offer(last, outbox.EventContext{})
	p.answer = func(msg *outbox.Message) outbox.Result {
		if len(msg.Parts[0].Events) > 1 {
			return outbox.Result{Verdict: outbox.Refused, Text: "413"}
		}
		return outbox.Result{}
	}
	p.pass(time.Minute)
	require.Equal(t, outbox.Dead, p.state(first))
	require.Equal(t, []string{last.ID}, eventIDs(p.delivered()...))
}

func TestBatch_whatFailsAloneBlocksNoOther(t *testing.T) {
	t.Parallel()
	for _, bad := range [][]string{{"svc0000"}, {"svc0007"}, {"svc0000", "svc0029"}, {"svc0003", "svc0004", "svc0017", "svc0025"}} {
		t.Run(fmt.Sprint(bad), func(t *testing.T) {
			t.Parallel()
			p := newPlayer(t, nil)
			p.answer = failsWith(outbox.Failed, bad...)
			p.downAll(30)
			p.pass(15 * time.Minute)
			require.Len(t, services(p.delivered()...), 30-len(bad), "each once")
			p.forget()
			for i := range 20 { // and later ones are not delayed for long
				p.down(fmt.Sprint("late", i))
				p.pass(6 * time.Minute)
				require.Len(t, p.delivered(), i+1)
			}
			p.answer = nil
			p.pass(10 * time.Minute)
			require.Zero(t, p.queue.Status(p.now).Waiting)
		})
	}
}

func TestBatch_stepsSayThatADigestWasSplit(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, nil)
	p.answer = failsWith(outbox.Failed, "bad")
	p.downAll(20)
	ev := p.down("bad")
	p.pass(10 * time.Minute)
	found := ""
	for _, text := range p.steps(ev) {
		if len(text) > len(found) {
			found = text
		}
	}
	require.Regexp(t, `^attempt \d failed: no answer; next attempt at [\d:]+ or later, split in two, because other messages were delivered$`, found)
}

// A receiver that is down says nothing about a digest.
func TestBatch_isNotSplitWhileNothingIsDelivered(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, nil)
	p.answer = fails(outbox.Failed)
	p.downAll(200)
	p.pass(time.Hour)
	require.Less(t, len(p.calls), 30)
	p.forget()
	p.answer = nil
	p.pass(10 * time.Minute)
	require.LessOrEqual(t, len(p.calls), 2)
	require.Len(t, services(p.delivered()...), 200)
}

func TestBatch_serviceReturnsAfterASuccess(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, nil)
	p.answer = tooLong(10)
	p.downAll(20)
	p.pass(time.Minute)
	p.forget()
	p.answer = nil
	p.pass(5 * time.Minute)
	for _, s := range []string{"svc0000", "svc0019"} {
		p.up(s)
	}
	for i := range 10 {
		p.down(fmt.Sprint("new", i))
	}
	p.pass(time.Minute)
	require.Len(t, p.calls, 1, "all in one digest")
	require.Len(t, p.calls[0].msg.Parts, 12)
}

func TestBatch_refusedRemindersAreSplit(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, func(cfg *outbox.Config) { cfg.Remind = time.Hour })
	p.downAll(20)
	p.pass(time.Minute)
	p.forget()
	p.answer = tooLong(5)
	p.pass(time.Hour + time.Minute)
	require.Len(t, p.calls, 1+2+4)
	require.Len(t, services(p.delivered()...), 20)
	p.forget()
	p.answer = failsWith(outbox.Failed, "svc0003")
	p.pass(70 * time.Minute)
	require.Len(t, services(p.delivered()...), 19, "each once")
}

// Two failures before each success are no reason to split, however long that goes on.
func TestBatch_successForgetsFailures(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, nil)
	more := func() {
		for range 12 {
			p.down(fmt.Sprint("svc", p.events))
		}
	}
	p.answer = func(*outbox.Message) outbox.Result {
		if len(p.calls)%3 < 2 {
			return outbox.Result{Verdict: outbox.Failed, Text: "no answer"}
		}
		more() // the batch is never empty
		return outbox.Result{}
	}
	more()
	p.pass(time.Hour)
	require.Greater(t, len(p.calls), 30)
	for i, c := range p.calls {
		require.Len(t, c.msg.Parts, 12, "call %d", i)
	}
}

func TestBatch_manyThatFailAloneDelayOthersOneTurn(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, nil)
	var bad []string
	for i := range 20 {
		bad = append(bad, fmt.Sprintf("svc%04d", i))
	}
	p.answer = failsWith(outbox.Failed, bad...)
	p.downAll(40)
	for i := range 100 { // each success lets those that fail be split once more
		p.pass(6 * time.Minute)
		p.down(fmt.Sprint("good", i))
	}
	p.pass(6 * time.Minute)
	require.Len(t, services(p.delivered()...), 20+100)
	fail := p.answer
	p.answer = func(*outbox.Message) outbox.Result { // all pauses are over when it ends
		return outbox.Result{Verdict: outbox.Later, After: time.Hour, Text: "429"}
	}
	p.pass(30 * time.Minute)
	p.answer = fail
	p.down("late")
	p.down("later")
	p.forget()
	p.pass(2 * time.Hour)
	require.LessOrEqual(t, callsUntil(p, "late"), 2)
	require.LessOrEqual(t, callsUntil(p, "later"), 4)
}

// callsUntil counts the calls up to the first that names a service.
func callsUntil(p *player, service string) int {
	for i, c := range p.calls {
		if services(c.msg)[0] == service {
			return i + 1
		}
	}
	return len(p.calls) + 1
}

// Events during the delivery of a part of a digest join the others again.
func TestBatch_serviceReturnsWithWhatHappenedMeanwhile(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, nil)
	split := false
	p.answer = func(msg *outbox.Message) outbox.Result {
		if len(msg.Parts) > 10 {
			return outbox.Result{Verdict: outbox.Refused, Text: "413"}
		}
		if !split {
			split = true
			for _, s := range services(msg) {
				p.up(s)
			}
		}
		return outbox.Result{}
	}
	p.downAll(20)
	p.pass(10 * time.Second)
	p.answer = nil
	p.forget()
	p.down("other")
	p.pass(5 * time.Minute)
	require.Len(t, p.calls, 1)
	require.Len(t, p.calls[0].msg.Parts, 11)
}
