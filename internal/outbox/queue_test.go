package outbox_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/outbox"
)

func TestQueue_sendsNothingBeforeItIsConfirmed(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, atOnce)
	ev := p.event("db", outbox.Down, "error")
	o := p.queue.Offer(ev, outbox.EventContext{}, p.now)
	p.pass(time.Minute)
	require.Empty(t, p.calls)
	o.Confirm(42)
	<-p.queue.Wake
	p.pass(0)
	require.Len(t, p.calls, 1)
	require.Equal(t, uint64(42), p.calls[0].msg.LSN)
	require.Equal(t, ev.ID, p.calls[0].msg.ID)
	require.Equal(t, []string{"sent as message m1"}, p.steps(ev))
}

func TestQueue_recoveryInTimeIsOneMessageWithTheAlert(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, nil)
	down := p.down("db")
	p.pass(3 * time.Second)
	up := p.up("db")
	p.pass(time.Minute)
	require.Len(t, p.calls, 1)
	require.Equal(t, 5*time.Second, p.calls[0].at)
	require.Equal(t, []string{down.ID, up.ID}, eventIDs(p.calls[0].msg))
	require.Equal(t, "sent as message m1, together with "+up.ID, p.steps(down)[1])
	p.rests()
}

func TestQueue_filterHidesNoEndOfWhatWasAlerted(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, func(cfg *outbox.Config) {
		cfg.GroupWait = 0
		cfg.Wants = func(ev *outbox.Event) (bool, string) { return ev.To == "critical", "status critical" }
	})
	ignored := p.down("web")
	p.up("web")
	p.pass(0)
	require.Empty(t, p.calls)
	require.Equal(t, outbox.Skipped, p.state(ignored))
	require.Equal(t, []string{"excluded by the filter: status critical"}, p.steps(ignored))

	p.offer(p.event("db", outbox.Down, "critical"), outbox.EventContext{})
	p.pass(0)
	p.offer(p.event("db", outbox.Better, "warning"), outbox.EventContext{})
	p.pass(0)
	end := p.up("db")
	p.pass(0)
	require.Len(t, p.calls, 3)
	require.Equal(t, "sent despite filter (status critical): this notifier was alerted about the incident", p.steps(end)[0])
}

func TestQueue_closeSendsWhatIsGroupedAndEnds(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, nil)
	p.down("db")
	p.queue.Close(p.now.Mono + int64(time.Minute))
	require.Equal(t, 1, p.queue.Undelivered())
	p.pass(0)
	require.Len(t, p.calls, 1)
	require.Zero(t, p.queue.Undelivered())
	_, _, done := p.queue.Next(p.now)
	require.True(t, done)
}

func TestQueue_closeWaitsForNoRetryAfterItsDeadline(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, atOnce)
	p.answer = fails(outbox.Failed)
	p.down("db")
	p.pass(10 * time.Second)
	p.queue.Close(p.now.Mono + int64(time.Millisecond))
	_, _, done := p.queue.Next(p.now)
	require.True(t, done)
	require.Equal(t, 1, p.queue.Undelivered())
}

func TestQueue_dropsTheOldestWhenItIsFull(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, nil)
	first := p.event("a", outbox.Down, "error")
	first.Size = 40 << 20
	p.offer(first, outbox.EventContext{})
	p.pass(time.Second)
	second := p.event("b", outbox.Down, "error")
	second.Size = 40 << 20
	p.offer(second, outbox.EventContext{})
	require.Equal(t, outbox.Dead, p.state(first))
	require.Equal(t, outbox.ReasonFull, p.steps(first)[1])
	_, dropped := p.queue.Flush(p.now)
	require.Equal(t, 1, dropped)
	p.pass(time.Minute)
	require.Equal(t, []string{second.ID}, eventIDs(p.delivered()...))
	require.Equal(t, uint64(1), p.queue.Status(p.now).Dead)
}

func TestQueue_expiresAfterADay(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]outbox.Verdict{"failing": outbox.Failed, "disabled": outbox.Permanent} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlayer(t, atOnce)
			p.answer = fails(v)
			ev := p.down("db")
			p.pass(outbox.MaxAge - time.Second)
			require.Equal(t, 1, p.queue.Status(p.now).Waiting)
			p.pass(2 * time.Second)
			require.Zero(t, p.queue.Status(p.now).Waiting)
			require.Equal(t, outbox.Dead, p.state(ev))
			texts := p.steps(ev)
			require.Equal(t, "dropped: not delivered within 24 hours", texts[len(texts)-1])
		})
	}
}

// A notifier may hang for ever: the watching loop calls Review.
func TestQueue_expiresWhileTheWorkerIsBusy(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, atOnce)
	p.down("db")
	msg, _, _ := p.queue.Next(p.now)
	require.NotNil(t, msg)
	other, same := p.down("web"), p.up("db")
	p.sleep(outbox.MaxAge)
	p.queue.Review(p.now)
	p.queue.Flush(p.now)
	require.Equal(t, outbox.Dead, p.state(other))
	require.Equal(t, outbox.Dead, p.state(same))
	s := p.queue.Status(p.now)
	require.Equal(t, outbox.Stuck, s.State)
	require.Equal(t, 1, s.Waiting, "the one that hangs")
	p.queue.Done(msg, outbox.Result{}, p.now)
	p.pass(time.Hour)
	require.Empty(t, p.calls)
}

func TestQueue_keepsFirstAndLastSteps(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, atOnce)
	p.answer = fails(outbox.Failed)
	ev := p.down("db")
	p.pass(2 * time.Hour)
	texts := p.steps(ev)
	require.Len(t, texts, 16)
	require.True(t, strings.HasPrefix(texts[7], "attempt 8 failed: no answer; next attempt at "), texts[7])
	require.NotContains(t, texts[8], "attempt 9 ")
}

func TestQueue_singleSendsEachServiceAloneInOrder(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, func(cfg *outbox.Config) { cfg.Single = true })
	all := p.downAll(50)
	p.pass(0)
	require.Equal(t, all, services(p.delivered()...))
	require.Len(t, p.calls, 50)
	p.rests()
}

func TestQueue_remindsWhileItIsBad(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, func(cfg *outbox.Config) { cfg.GroupWait, cfg.Remind = 0, time.Hour })
	p.down("db")
	p.pass(150 * time.Minute)
	require.Len(t, p.calls, 3)
	for i, c := range p.calls[1:] {
		require.Equal(t, outbox.KindReminder, c.msg.Kind)
		require.Equal(t, time.Duration(i+1)*time.Hour, c.at)
	}
	p.queue.MarkUnknown("db")
	p.pass(2 * time.Hour)
	require.Len(t, p.calls, 3, "its status is unknown")
	p.up("db")
	p.pass(5 * time.Hour)
	require.Len(t, p.calls, 4)
	p.rests()
}

func TestQueue_testGoesFirstAndEnablesTheNotifier(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, atOnce)
	p.answer = fails(outbox.Permanent)
	ev := p.down("db")
	p.pass(time.Hour)
	require.Len(t, p.calls, 1)
	require.Equal(t, outbox.Disabled, p.queue.Status(p.now).State)
	require.Contains(t, p.steps(ev)[0], "the notifier is disabled")
	p.answer = nil
	test := outbox.NewTest(p.now.Mono + int64(time.Minute))
	p.queue.SendTest(test)
	p.pass(0)
	require.Equal(t, "m1", (<-test.Done).MessageID)
	require.Equal(t, outbox.OK, p.queue.Status(p.now).State)
	require.Equal(t, []string{ev.ID}, eventIDs(p.delivered()...))
}

func TestQueue_testIsRepeatedWhileSomebodyWaits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		after   time.Duration
		repeats bool
	}{{40 * time.Second, true}, {2 * time.Minute, false}} {
		p := newPlayer(t, atOnce)
		p.answer = func(*outbox.Message) outbox.Result {
			p.answer = nil
			return outbox.Result{Verdict: outbox.Later, After: c.after, Text: "429"}
		}
		test := outbox.NewTest(p.now.Mono + int64(time.Minute))
		p.queue.SendTest(test)
		p.pass(time.Minute)
		res := <-test.Done
		require.Equal(t, c.repeats, res.Verdict == outbox.Delivered)
	}
}

func TestQueue_cancelledTestSaysWhatItWaitedFor(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, atOnce)
	p.down("db")
	p.answer = func(*outbox.Message) outbox.Result {
		return outbox.Result{Verdict: outbox.Later, After: time.Hour, Text: "429"}
	}
	p.pass(0)
	test := outbox.NewTest(p.now.Mono + int64(time.Minute))
	p.queue.SendTest(test)
	p.pass(time.Minute)
	require.Equal(t, "nothing was sent: the receiver asked to wait until 01:00:00", p.queue.CancelTest(test, p.now))
	p.pass(2 * time.Hour)
	require.Empty(t, test.Done)
}
