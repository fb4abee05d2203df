package apitest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/laneswap/laneswap"
)

// sink is a notifier that accepts everything until failing sets an error.
type sink struct {
	mu   sync.Mutex // guards what follows
	fail error
	got  []laneswap.Notification
}

func newSink() *sink { return &sink{} }

// Name returns the name of the notifier.
func (n *sink) Name() string { return "told/it #1" } // it must travel

// Notify accepts a notification as message-1 and so on.
func (n *sink) Notify(_ context.Context, note laneswap.Notification) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fail != nil {
		return n.fail
	}
	n.got = append(n.got, note)
	note.Receipt(fmt.Sprint("message-", len(n.got)))
	return nil
}

// failing sets the error of Notify; nil ends the failure.
func (n *sink) failing(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fail = err
}

// kinds returns the kinds of the accepted notifications.
func (n *sink) kinds() []laneswap.NoticeKind {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []laneswap.NoticeKind
	for _, note := range n.got {
		out = append(out, note.Kind)
	}
	return out
}

// unwilling is a notifier whose receiver is gone.
type unwilling struct{}

// Name returns the name of the notifier.
func (unwilling) Name() string { return "unwilling" }

// Notify fails for good.
func (unwilling) Notify(context.Context, laneswap.Notification) error {
	return laneswap.Permanent(errors.New("the webhook was deleted"))
}

func (r *run) explain(id string) laneswap.Explanation {
	r.Helper()
	explained, err := r.Explain(r.ctx, id)
	r.ok("explain", err)
	return explained
}

func (r *run) notifiers() []laneswap.NotifierStatus {
	r.Helper()
	list, err := r.Notifiers(r.ctx)
	r.ok("notifiers", err)
	return list
}

// notifier is how the notifier of that name stands.
func (r *run) notifier(name string) laneswap.NotifierStatus {
	r.Helper()
	for _, n := range r.notifiers() {
		if n.Name == name {
			return n
		}
	}
	r.Fatalf("there is no notifier %q", name)
	return laneswap.NotifierStatus{}
}

// until waits until something is so.
func (r *run) until(what string, holds func() bool) {
	r.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			r.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// fall registers a service, has it report an error, and returns the event.
func (r *run) fall(id laneswap.ServiceID) laneswap.Event {
	r.Helper()
	r.register(laneswap.Registration{ID: id, NoDeadline: true})
	r.beat(id, laneswap.Heartbeat{Status: laneswap.StatusError, Message: "disk full"})
	evs := all(r, "events", r.Events(r.ctx, laneswap.EventQuery{Service: id}))
	r.equal("events", len(evs), 1)
	return evs[0]
}

// noNotifierTests use a Manager without notifiers.
var noNotifierTests = []test{
	{"Without notifiers there are none, and none to test", func(r *run) {
		r.equal("notifiers", len(r.notifiers()), 0)
		for _, name := range []string{"discord", "", ".", "..", "a/b", "a#2", "a?b", "a\nb", "ä", "a\xff", longText} {
			_, err := r.TestNotifier(r.ctx, name)
			r.refused(fmt.Sprintf("test %.20q", name), err, laneswap.ErrNotifierNotFound, "")
			r.begins("test notifier", name, err)
		}
	}},
	{"Without notifiers an explanation has no notices", func(r *run) {
		ev := r.fall("a")
		explained := r.explain(ev.ID)
		r.equal("event", explained.Event, ev)
		r.equal("notices", len(explained.Notices), 0)
	}},
	{"An event that is not kept cannot be explained", func(r *run) {
		ev := r.fall("a")
		for _, id := range []string{"nobody", "nobody/x-1/1", ev.ID + "1", ev.Incident, "", ".", "..", "/", "a/../b", "a?b", "a#b", "a\nb", "a\xff", longText} {
			_, err := r.Explain(r.ctx, id)
			r.refused(fmt.Sprintf("explain %.20q", id), err, laneswap.ErrEventNotFound, "")
			r.begins("explain", id, err)
		}
	}},
}

// begins checks that an error says what was tried on what, once, and does not
// repeat everything that it was given.
func (r *run) begins(verb, name string, err error) {
	r.Helper()
	want, text := "laneswap: "+verb+": ", err.Error()
	if name != "" {
		want = fmt.Sprintf("laneswap: %s %q: ", verb, name[:min(len(name), 128)])
	}
	if !strings.HasPrefix(text, want) || strings.Count(text, "laneswap: ") != 1 || len(text) > 300 {
		r.Fatalf("the error is %.400s, want it to begin with %s", text, want)
	}
}

// notifierTests use a Manager with the notifiers sink and unwilling and no group
// wait.
var notifierTests = []test{
	{"An event is explained for each notifier", func(r *run) {
		before := time.Now().Add(-time.Millisecond)
		ev := r.fall("a")
		var explained laneswap.Explanation
		r.until("delivered, and abandoned", func() bool {
			explained = r.explain(ev.ID)
			return len(explained.Notices) == 2 && explained.Notices[0].State == laneswap.NoticeSent && explained.Notices[1].Attempts == 1 &&
				len(explained.Notices[1].Steps) > 0 // counted when it is sent, described when it has failed
		})
		r.equal("event", explained.Event, ev)
		sent, kept := explained.Notices[0], explained.Notices[1]
		r.equal("notifier", sent.Notifier, r.sink.Name())
		r.equal("message", sent.MessageID, "message-1")
		r.equal("attempts", sent.Attempts, 1)
		r.equal("notifier", kept.Notifier, "unwilling")
		r.equal("message", kept.MessageID, "")
		r.equal("state", kept.State, laneswap.NoticeWaiting)
		for _, notice := range explained.Notices {
			if len(notice.Steps) == 0 {
				r.Fatalf("%s: no steps", notice.Notifier)
			}
			for _, step := range notice.Steps {
				if step.Text == "" || step.At.Before(before.Truncate(time.Millisecond)) || step.At.After(time.Now()) || step.At.Location() != time.UTC {
					r.Fatalf("%s: a step is %+v", notice.Notifier, step)
				}
			}
			if !slices.IsSortedFunc(notice.Steps, func(a, b laneswap.TraceStep) int { return a.At.Compare(b.At) }) {
				r.Fatalf("%s: the steps are not in order: %s", notice.Notifier, show(notice.Steps))
			}
		}
	}},
	{"An event that no notifier gets has no notices", func(r *run) {
		r.register(laneswap.Registration{ID: "a", NoDeadline: true})
		r.beat("a", laneswap.Heartbeat{})
		ev := all(r, "events", r.Events(r.ctx, laneswap.EventQuery{}))[0]
		r.equal("notices", len(r.explain(ev.ID).Notices), 0)
	}},
	{"Notifiers are listed by name, with their pending notices", func(r *run) {
		list := r.notifiers()
		r.equal("notifiers", list, []laneswap.NotifierStatus{
			{Name: r.sink.Name(), State: laneswap.NotifierOK}, {Name: "unwilling", State: laneswap.NotifierOK},
		})
		ev := r.fall("a")
		r.until("delivered, and disabled", func() bool {
			list = r.notifiers()
			return list[0].Sent == 1 && list[1].State == laneswap.NotifierDisabled
		})
		good, bad := list[0], list[1]
		r.equal("state", good.State, laneswap.NotifierOK)
		r.equal("waiting", good.Waiting, 0)
		r.equal("oldest", good.Oldest, time.Time{})
		r.equal("error", good.LastError, "")
		r.equal("waiting", bad.Waiting, 1)
		r.equal("sent", bad.Sent, uint64(0))
		r.equal("last sent", bad.LastSent, time.Time{})
		r.equal("retry at", bad.RetryAt, time.Time{})
		if !strings.Contains(bad.LastError, "the webhook was deleted") {
			r.Fatalf("the error is %q", bad.LastError)
		}
		for what, at := range map[string]time.Time{"last sent": good.LastSent, "oldest": bad.Oldest, "last error": bad.LastErrorAt} {
			if at.Before(ev.At) || at.After(time.Now()) || at.Location() != time.UTC {
				r.Fatalf("%s: %v, the event is of %v", what, at, ev.At)
			}
		}
	}},
	{"A notifier test returns its outcome", func(r *run) {
		test, err := r.TestNotifier(r.ctx, r.sink.Name())
		r.ok("test", err)
		r.equal("test", test, laneswap.NotifierTest{Notifier: r.sink.Name(), Delivered: true, MessageID: "message-1"})
		r.equal("kinds", r.sink.kinds(), []laneswap.NoticeKind{laneswap.NoticeTest})
		test, err = r.TestNotifier(r.ctx, "unwilling")
		r.ok("test", err)
		r.equal("delivered", test.Delivered, false)
		r.equal("notifier", test.Notifier, "unwilling")
		if !strings.Contains(test.Error, "the webhook was deleted") {
			r.Fatalf("the error is %q", test.Error)
		}
		_, err = r.TestNotifier(r.ctx, "told")
		r.refused("test", err, laneswap.ErrNotifierNotFound, "")
	}},
	{"A successful test enables a disabled notifier", func(r *run) {
		name := r.sink.Name()
		r.sink.failing(laneswap.Permanent(errors.New("gone")))
		ev := r.fall("a")
		r.until("disabled", func() bool { return r.notifier(name).State == laneswap.NotifierDisabled })
		test, err := r.TestNotifier(r.ctx, name)
		r.ok("test", err)
		r.equal("delivered", test.Delivered, false)
		r.equal("state", r.notifier(name).State, laneswap.NotifierDisabled)
		r.sink.failing(nil)
		test, err = r.TestNotifier(r.ctx, name)
		r.ok("test", err)
		r.equal("delivered", test.Delivered, true)
		r.until("the backlog is delivered", func() bool { return r.notifier(name).Waiting == 0 })
		r.equal("state", r.notifier(name).State, laneswap.NotifierOK)
		r.equal("kinds", r.sink.kinds(), []laneswap.NoticeKind{laneswap.NoticeTest, laneswap.NoticeEvent})
		r.equal("attempts", r.explain(ev.ID).Notices[0].Attempts, 2)
	}},
}
