package outbox_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/clock"
	"github.com/laneswap/laneswap/internal/outbox"
)

// player plays a worker and its receiver: it drives a queue through instants, without
// a clock and without a goroutine.
type player struct {
	t     *testing.T
	queue *outbox.Queue
	now   clock.Instant
	begin clock.Instant

	answer  func(msg *outbox.Message) outbox.Result // nil delivers everything
	calls   []call
	notices map[string]outbox.Notice // as last saved, by the id of the event
	events  int
	bad     map[string]string // the open incidents, by service
}

// call is one message at an instant.
type call struct {
	at  time.Duration // since the beginning
	msg *outbox.Message
	res outbox.Result
}

// newPlayer makes a queue with a group wait of 5 s and a flap limit of 5, unless set
// changes that.
func newPlayer(t *testing.T, set func(cfg *outbox.Config)) *player {
	t.Helper()
	start := clock.Instant{Mono: int64(time.Hour), Wall: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()}
	p := &player{t: t, now: start, begin: start, notices: map[string]outbox.Notice{}, bad: map[string]string{}}
	cfg := outbox.Config{
		GroupWait: 5 * time.Second, FlapLimit: 5,
		Wants: func(*outbox.Event) (bool, string) { return true, "" },
		Save:  p.save,
	}
	if set != nil {
		set(&cfg)
	}
	p.queue = outbox.New(cfg)
	return p
}

func atOnce(cfg *outbox.Config) { cfg.GroupWait = 0 }

func (p *player) save(notices []outbox.Notice) {
	for _, n := range notices {
		p.notices[n.Event.ID] = n
	}
}

// elapsed is the time since the beginning.
func (p *player) elapsed() time.Duration { return time.Duration(p.now.Mono - p.begin.Mono) }

// event makes an event of a service.
func (p *player) event(service string, kind outbox.Kind, to string) *outbox.Event {
	p.events++
	ev := &outbox.Event{
		ID: fmt.Sprintf("%s/%d", service, p.events), Service: service, Kind: kind, To: to, Silent: to == "stale", Sequence: uint64(p.events), At: p.now.Time(), Size: 10,
	}
	if kind == outbox.Down {
		p.bad[service] = ev.ID
	}
	ev.Incident = p.bad[service]
	return ev
}

// offer enqueues an event in a context, and returns its notice.
func (p *player) offer(ev *outbox.Event, in outbox.EventContext) outbox.Notice {
	o := p.queue.Offer(ev, in, p.now)
	p.save(o.Notices)
	o.Confirm(0)
	return o.Notices[0]
}

func (p *player) down(service string) *outbox.Event {
	ev := p.event(service, outbox.Down, "error")
	p.offer(ev, outbox.EventContext{Changes: 1})
	return ev
}

func (p *player) up(service string) *outbox.Event {
	ev := p.event(service, outbox.Recovered, "healthy")
	p.offer(ev, outbox.EventContext{Changes: 1})
	return ev
}

// downAll has many services fail at the same instant.
func (p *player) downAll(n int) (services []string) {
	for i := range n {
		services = append(services, fmt.Sprintf("svc%04d", i))
		p.down(services[i])
	}
	return services
}

// pass lets time pass, in which the worker works.
func (p *player) pass(d time.Duration) {
	p.t.Helper()
	end := p.now.Mono + int64(d)
	for range 1_000_000 {
		msg, at, done := p.queue.Next(p.now)
		p.queue.Flush(p.now)
		switch {
		case msg != nil:
			res := outbox.Result{}
			if p.answer != nil {
				res = p.answer(msg)
			}
			if res.Verdict == outbox.Delivered {
				res.MessageID = fmt.Sprint("m", len(p.delivered())+1)
			}
			p.calls = append(p.calls, call{p.elapsed(), msg, res})
			p.queue.Done(msg, res, p.now)
		case done, at > end:
			p.sleep(time.Duration(end - p.now.Mono))
			return
		default:
			p.sleep(time.Duration(max(at-p.now.Mono, 1)))
		}
	}
	require.Fail(p.t, "the queue does not rest")
}

// sleep lets time pass, in which the worker does nothing.
func (p *player) sleep(d time.Duration) {
	p.now.Mono += int64(d)
	p.now.Wall += int64(d)
}

// delivered are the messages that the receiver has accepted.
func (p *player) delivered() (msgs []*outbox.Message) {
	for _, c := range p.calls {
		if c.res.Verdict == outbox.Delivered {
			msgs = append(msgs, c.msg)
		}
	}
	return msgs
}

// forget forgets the calls so far.
func (p *player) forget() { p.calls = nil }

// services are the services of messages, each time that they are in one.
func services(msgs ...*outbox.Message) (all []string) {
	for _, msg := range msgs {
		for _, part := range msg.Parts {
			all = append(all, part.Events[0].Service)
		}
	}
	return all
}

// eventIDs are the ids of the events in messages.
func eventIDs(msgs ...*outbox.Message) (ids []string) {
	for _, msg := range msgs {
		for _, part := range msg.Parts {
			for _, ev := range part.Events {
				ids = append(ids, ev.ID)
			}
		}
	}
	return ids
}

// steps are the steps of the notice of an event as last saved.
func (p *player) steps(ev *outbox.Event) (texts []string) {
	p.t.Helper()
	n, ok := p.queue.Find(ev)
	if !ok {
		n, ok = p.notices[ev.ID]
	}
	require.True(p.t, ok, ev.ID)
	for _, s := range n.Steps {
		texts = append(texts, s.Text)
	}
	return texts
}

func (p *player) state(ev *outbox.Event) outbox.State {
	p.t.Helper()
	if n, ok := p.queue.Find(ev); ok {
		return n.State
	}
	return p.notices[ev.ID].State
}

// fails is an answer that is the same for all messages.
func fails(v outbox.Verdict) func(*outbox.Message) outbox.Result {
	return func(*outbox.Message) outbox.Result { return outbox.Result{Verdict: v, Text: "no answer"} }
}

// failsWith is an answer for the messages that name one of the services.
func failsWith(v outbox.Verdict, bad ...string) func(*outbox.Message) outbox.Result {
	return func(msg *outbox.Message) outbox.Result {
		for _, s := range services(msg) {
			if slices.Contains(bad, s) {
				return outbox.Result{Verdict: v, Text: "no answer"}
			}
		}
		return outbox.Result{}
	}
}

// rests asserts that nothing is pending, and that nothing is due for an hour.
func (p *player) rests() {
	p.t.Helper()
	msg, at, _ := p.queue.Next(p.now)
	require.Nil(p.t, msg)
	require.Zero(p.t, p.queue.Status(p.now).Waiting)
	require.Greater(p.t, at, p.now.Mono+int64(time.Hour))
}
