package apitest

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/laneswap/laneswap"
)

// take reads n events of a watch.
func take(r *run, w *laneswap.Watcher, n int) []laneswap.Event {
	r.Helper()
	var out []laneswap.Event
	for ev, err := range w.Events() {
		r.ok("watching", err)
		if out = append(out, ev); len(out) == n {
			return out
		}
	}
	r.Fatalf("the watch ended after %d of %d events", len(out), n)
	return nil
}

func (r *run) watch(q laneswap.WatchQuery) *laneswap.Watcher {
	r.Helper()
	w, err := r.Watch(r.ctx, q)
	r.ok("watch", err)
	r.Cleanup(func() { _ = w.Close() })
	return w
}

var watchTests = []test{
	{"A watch replays, then goes on live", func(r *run) {
		story(r)
		w := r.watch(laneswap.WatchQuery{})
		evs := all(r, "events", r.Events(r.ctx, laneswap.EventQuery{}))
		r.equal("replayed", take(r, w, len(evs)), evs)
		r.beat("a", laneswap.Heartbeat{Status: laneswap.StatusError, Message: "live"})
		r.equal("live", take(r, w, 1)[0].Message, "live")
	}},
	{"A watch goes on where it was left", func(r *run) {
		story(r)
		w := r.watch(laneswap.WatchQuery{})
		for want := uint64(1); want <= 6; want++ {
			r.equal("sequence", take(r, w, 1)[0].Sequence, want)
		}
	}},
	{"A watch begins behind a sequence number", func(r *run) {
		story(r)
		sum, err := r.Summary(r.ctx)
		r.ok("summary", err)
		live := r.watch(laneswap.WatchQuery{After: sum.Sequence})
		late := r.watch(laneswap.WatchQuery{After: sum.Sequence - 2})
		r.beat("a", laneswap.Heartbeat{Status: laneswap.StatusError})
		r.equal("live", take(r, live, 1)[0].Sequence, sum.Sequence+1)
		for i, ev := range take(r, late, 3) {
			r.equal("late", ev.Sequence, sum.Sequence-1+uint64(i))
		}
	}},
	{"A watch can be of one service", func(r *run) {
		story(r)
		w := r.watch(laneswap.WatchQuery{Service: "b"})
		for _, ev := range take(r, w, 2) {
			r.equal("service", ev.Service, laneswap.ServiceID("b"))
		}
		r.beat("a", laneswap.Heartbeat{Status: laneswap.StatusError})
		r.register(laneswap.Registration{ID: "b"})
		r.beat("b", laneswap.Heartbeat{Message: "back"})
		r.equal("live", take(r, w, 1)[0].Message, "back")
	}},
	{"A watch sees all that happens while it runs, once", func(r *run) {
		const beaters, changes = 4, 30
		w := r.watch(laneswap.WatchQuery{})
		var wg sync.WaitGroup
		for i := range beaters {
			wg.Go(func() {
				id := laneswap.ServiceID(rune('a' + i))
				if _, err := r.Register(r.ctx, laneswap.Registration{ID: id, Interval: time.Hour}); err != nil {
					r.Error(err)
				}
				for n := range changes {
					status := laneswap.StatusError
					if n%2 == 1 {
						status = laneswap.StatusHealthy
					}
					if err := r.Beat(r.ctx, id, laneswap.Heartbeat{Status: status}); err != nil {
						r.Error(err)
					}
				}
			})
		}
		for i, ev := range take(r, w, beaters*changes) {
			r.equal("sequence", ev.Sequence, uint64(i+1))
		}
		wg.Wait()
	}},
	{"A watch ends quietly when it is closed", func(r *run) {
		w := r.watch(laneswap.WatchQuery{})
		ended := make(chan error, 1)
		go func() { ended <- last(w.Events()) }() // ended by Close
		r.ok("close", w.Close())
		r.ok("close again", w.Close())
		select {
		case err := <-ended:
			r.ok("the end of the watch", err)
		case <-r.ctx.Done():
			r.Fatal("the watch goes on")
		}
		r.ok("read again", last(w.Events()))
	}},
	{"A closed watch yields no more events", func(r *run) {
		story(r)
		w := r.watch(laneswap.WatchQuery{})
		take(r, w, 2)
		r.ok("close", w.Close())
		for ev, err := range w.Events() {
			r.Fatalf("got %v, %v after Close", ev, err)
		}
	}},
	{"A watch ends with its context", func(r *run) {
		ctx, cancel := context.WithCancel(r.ctx)
		defer cancel()
		w, err := r.Watch(ctx, laneswap.WatchQuery{})
		r.ok("watch", err)
		defer w.Close()
		ended := make(chan error, 1)
		go func() { ended <- last(w.Events()) }() // ended by cancel
		cancel()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				r.Fatalf("ended with %v", err)
			}
		case <-r.ctx.Done():
			r.Fatal("the watch goes on")
		}
	}},
	{"A watch that is not read ends with its context", func(r *run) {
		story(r)
		ctx, cancel := context.WithCancel(r.ctx)
		w, err := r.Watch(ctx, laneswap.WatchQuery{})
		r.ok("watch", err)
		defer w.Close()
		take(r, w, 1)
		cancel()
		if err := failure(r, "watch", w.Events()); !errors.Is(err, context.Canceled) {
			r.Fatalf("ended with %v", err)
		}
	}},
	{"A watch of an unknown sequence number is gone", func(r *run) {
		story(r)
		_, err := r.Watch(r.ctx, laneswap.WatchQuery{After: 7})
		r.refused("watch", err, laneswap.ErrGone, "")
	}},
	{"Many watches see the same", func(r *run) {
		var watchers []*laneswap.Watcher
		for range 10 {
			watchers = append(watchers, r.watch(laneswap.WatchQuery{}))
		}
		story(r)
		first := take(r, watchers[0], 6)
		for _, w := range watchers[1:] {
			r.equal("events", take(r, w, 6), first)
		}
	}},
}

// last returns the error that a sequence ends with.
func last(seq iter.Seq2[laneswap.Event, error]) (err error) {
	for _, err = range seq {
	}
	return err
}
