package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/client"
	"github.com/laneswap/laneswap/internal/table"
)

const eventsLong = `Show events: each change from good to bad, within bad, and back, and the problems
of the server's own storage.

Without --follow: the events that the server still has, oldest first. With it:
new events, or those after --after and then new ones, until interrupted. It
reconnects after a restart of the server. With -o json: an array, or one object
per line with --follow.`

func (r *remote) eventsCommand() *cobra.Command {
	var follow bool
	var after uint64
	var service string
	cmd := &cobra.Command{
		Use: "events", Short: "Show events, or follow them", Long: eventsLong,
		Example: "  laneswap events --follow --service billing@web-1",
		Args:    cobra.NoArgs,
	}
	cmd.RunE = r.asking(func(ctx context.Context, c *client.Client, _ []string) error {
		if !follow {
			return r.listEvents(ctx, c, laneswap.EventQuery{After: after, Service: laneswap.ServiceID(service)})
		}
		if !cmd.Flags().Changed("after") {
			sum, err := c.Summary(ctx)
			if err != nil {
				return err
			}
			after = sum.Sequence
		}
		return r.followEvents(ctx, c, laneswap.WatchQuery{After: after, Service: laneswap.ServiceID(service)})
	})
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "wait for new events")
	cmd.Flags().StringVar(&service, "service", "", "only events of the service with this id")
	cmd.Flags().Uint64Var(&after, "after", 0, "only events after this sequence number; 0 for all that are stored")
	_ = cmd.RegisterFlagCompletionFunc("service", r.completeIDs(true))
	return cmd
}

func (r *remote) listEvents(ctx context.Context, c *client.Client, q laneswap.EventQuery) error {
	events := []laneswap.Event{}
	for ev, err := range c.Events(ctx, q) {
		if err != nil {
			return err
		}
		events = append(events, ev)
	}
	if r.json() {
		return r.writeJSON(events)
	}
	return table.Events(r.p.Stdout, events, r.table())
}

// errStopped is the cause when a signal ends following.
var errStopped = errors.New("stopped")

// followEvents writes events until a signal comes or the server refuses the request.
// When the server no longer has the next event, it warns and continues with the oldest
// one; none of those was written before. It reconnects to a server that was reachable
// once; the watch does so itself as long as it knows the next event.
func (r *remote) followEvents(ctx context.Context, c *client.Client, q laneswap.WatchQuery) error {
	stop, end := r.p.stopping()
	defer end()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // ends with ctx
		select {
		case <-stop:
			cancel(errStopped)
		case <-ctx.Done():
		}
	}()
	f := &follower{remote: r, c: c, q: q}
	for {
		err := f.once(ctx)
		if err == nil || errors.Is(context.Cause(ctx), errStopped) {
			return nil
		}
		switch {
		case errors.Is(err, laneswap.ErrGone):
			warn(r.p.Stderr, "some events are missing here: the server was restarted or no longer has them")
			f.q.After = 0
		case errors.Is(err, laneswap.ErrSlowConsumer):
			// Continue after the last event; ErrGone follows if that is gone.
		case f.connected && temporary(err):
			if !f.warned {
				warn(r.p.Stderr, "cannot reach the server, trying again: "+oneLine(err))
				f.warned = true
			}
		default:
			return err
		}
		if !f.pause(ctx) {
			return nil
		}
	}
}

// temporary reports whether the server may answer soon.
func temporary(err error) bool {
	var refused *client.ResponseError
	return errors.Is(err, client.ErrUnreachable) || errors.As(err, &refused) && refused.StatusCode >= 500
}

// How long a follower waits before it connects again.
const (
	minFollowPause = 500 * time.Millisecond
	maxFollowPause = 8 * time.Second
)

// follower is one run of "events --follow". It must not be used concurrently.
type follower struct {
	*remote
	c         *client.Client
	q         laneswap.WatchQuery
	connected bool          // at least once
	warned    bool          // that the server cannot be reached
	wait      time.Duration // the last pause; 0 after an event
}

// once writes events until the watch ends.
func (f *follower) once(ctx context.Context) error {
	w, err := f.c.Watch(ctx, f.q)
	if err != nil {
		return err
	}
	defer w.Close()
	f.connected, f.warned = true, false
	for ev, err := range w.Events() {
		if err != nil {
			return err
		}
		if f.json() {
			err = f.writeLine(ev)
		} else {
			err = table.Event(f.p.Stdout, ev, f.table())
		}
		if err != nil {
			return err
		}
		f.q.After, f.wait = ev.Sequence, 0
	}
	return nil
}

// pause waits, longer each time. It returns false when ctx ends.
func (f *follower) pause(ctx context.Context) bool {
	f.wait = min(max(2*f.wait, minFollowPause), maxFollowPause)
	timer := time.NewTimer(f.wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
