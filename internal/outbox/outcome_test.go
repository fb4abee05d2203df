package outbox_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/outbox"
)

func TestRetry_pausesGrowUpToFiveMinutes(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, atOnce)
	p.answer = fails(outbox.Failed)
	p.down("db")
	p.pass(time.Hour)
	want := time.Second
	for i := range p.calls[1:] {
		pause := p.calls[i+1].at - p.calls[i].at
		require.InDelta(t, want.Seconds(), pause.Seconds(), 0.21*want.Seconds(), "pause %d", i)
		want = min(2*want, 5*time.Minute)
		require.Equal(t, i+2, p.calls[i+1].msg.Attempt)
		require.Equal(t, p.calls[0].msg.ID, p.calls[i+1].msg.ID)
	}
	s := p.queue.Status(p.now)
	require.Equal(t, outbox.Retrying, s.State)
	require.Equal(t, "no answer", s.LastError)
	require.True(t, s.RetryAt.After(p.now.Time()))
	p.answer = nil
	up := p.up("db")
	p.pass(7 * time.Minute)
	require.Len(t, p.delivered(), 1)
	require.Contains(t, eventIDs(p.delivered()...), up.ID, "with what happened meanwhile")
	require.Equal(t, outbox.OK, p.queue.Status(p.now).State)
}

func TestRetryAfter_isObeyed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ after, pause time.Duration }{
		{0, 250 * time.Millisecond}, {17 * time.Second, 17 * time.Second}, {2 * time.Hour, 2 * time.Hour},
	} {
		p := newPlayer(t, atOnce)
		p.answer = func(*outbox.Message) outbox.Result {
			p.answer = nil
			return outbox.Result{Verdict: outbox.Later, After: c.after, Text: "429"}
		}
		ev := p.down("db")
		p.pass(0)
		p.down("web")
		require.Contains(t, p.steps(ev)[0], "429; the receiver asked to wait until ")
		p.pass(3 * time.Hour)
		require.Len(t, p.calls, 3)
		require.Equal(t, c.pause, p.calls[1].at)
	}
}

func TestRetryAfter_shortOnesInARowGrow(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, atOnce)
	p.answer = func(*outbox.Message) outbox.Result { return outbox.Result{Verdict: outbox.Later, Text: "429"} }
	p.down("db")
	p.pass(time.Hour)
	require.InDelta(t, 65, len(p.calls), 15)
	require.LessOrEqual(t, p.calls[2].at-p.calls[0].at, time.Second)
}

func TestStopped_isTriedAgainWithoutAPause(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, atOnce)
	p.answer = func(*outbox.Message) outbox.Result {
		p.answer = nil
		return outbox.Result{Verdict: outbox.Stopped, Text: "context canceled"}
	}
	ev := p.down("db")
	p.pass(0)
	require.Equal(t, []string{"interrupted: LaneSwap stopped", "sent as message m1, attempt 2"}, p.steps(ev))
}

func TestRefused_saysThatTheReceiverIsThere(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, atOnce)
	p.answer = fails(outbox.Failed)
	ev := p.down("db")
	p.pass(time.Minute)
	p.answer = fails(outbox.Refused)
	p.pass(10 * time.Minute)
	require.Equal(t, outbox.Dead, p.state(ev))
	require.Equal(t, outbox.OK, p.queue.Status(p.now).State)
	p.answer = nil
	next := p.event("db", outbox.Worse, "critical")
	p.offer(next, outbox.EventContext{})
	p.pass(0)
	require.Equal(t, []string{next.ID}, eventIDs(p.delivered()...))
}

// What happens while a message is under way goes into the next one.
func TestDone_keepsTheOrderOfAService(t *testing.T) {
	t.Parallel()
	for _, v := range []outbox.Verdict{outbox.Delivered, outbox.Failed} {
		p := newPlayer(t, atOnce)
		down := p.down("db")
		msg, _, _ := p.queue.Next(p.now)
		up := p.up("db")
		again := p.down("db")
		p.sleep(time.Second)
		p.queue.Done(msg, outbox.Result{Verdict: v, Text: "x"}, p.now)
		p.pass(time.Minute)
		want := []string{down.ID, up.ID, again.ID}
		if v == outbox.Delivered {
			want = want[1:]
		}
		require.Equal(t, want, eventIDs(p.delivered()...))
		require.Len(t, p.calls, 1)
	}
}

func TestDone_groupsWhatHappenedMeanwhile(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, nil)
	p.down("db")
	p.sleep(5 * time.Second)
	msg, _, _ := p.queue.Next(p.now)
	p.sleep(time.Second)
	p.up("db")
	p.sleep(time.Second)
	p.queue.Done(msg, outbox.Result{}, p.now)
	p.pass(time.Minute)
	require.Len(t, p.calls, 1)
	require.Equal(t, 11*time.Second, p.calls[0].at)
}
