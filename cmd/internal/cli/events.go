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

const eventsLong = `Show what happened: each change from good to bad, within bad, and back, and
what befell the server's own storage.

Without --follow: the events that the server still has, oldest first. With it:
those that come from now on, or those behind --after and then what comes, until
it is interrupted; it survives restarts of the server. With -o json: an array,
or one object per line with --follow.`

func (r *remote) eventsCommand() *cobra.Command {
	var follow bool
	var after uint64
	var service string
	cmd := &cobra.Command{
		Use: "events", Short: "Show what happened, and what happens", Long: eventsLong,
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
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "wait for more")
	cmd.Flags().StringVar(&service, "service", "", "only those of the service with this id")
	cmd.Flags().Uint64Var(&after, "after", 0, "only those behind this sequence number; 0 means all that are kept")
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

// errStopped ends following as it was meant to end.
var errStopped = errors.New("stopped")

// followEvents writes events until it is told to stop or the server refuses. When
// the server has forgotten what comes next, it says so and goes on with the
// oldest that there is: none of those was written before. A server that is away
// then is waited for, as the watch waits by itself while it knows what comes next.
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
			say(r.p.Stderr, "some events are missing here: the server was restarted or no longer has them")
			f.q.After = 0
		case errors.Is(err, laneswap.ErrSlowConsumer):
			// Behind the last one; if that has gone meanwhile, we are told.
		case f.connected && away(err):
			if !f.said {
				say(r.p.Stderr, "the server is away, trying on: "+oneLine(err))
				f.said = true
			}
		default:
			return err
		}
		if !f.pause(ctx) {
			return nil
		}
	}
}

// away reports whether a server that answers so may soon answer otherwise.
func away(err error) bool {
	var refused *client.ResponseError
	return errors.Is(err, client.ErrUnreachable) || errors.As(err, &refused) && refused.StatusCode >= 500
}

// How long a follower waits before it connects again.
const (
	followFirst = 500 * time.Millisecond
	followMost  = 8 * time.Second
)

// follower is one "events --follow". It belongs to one goroutine.
type follower struct {
	*remote
	c         *client.Client
	q         laneswap.WatchQuery
	connected bool          // once at least
	said      bool          // that the server is away
	wait      time.Duration // the latest pause; 0 after an event
}

// once writes events until the watch ends.
func (f *follower) once(ctx context.Context) error {
	w, err := f.c.Watch(ctx, f.q)
	if err != nil {
		return err
	}
	defer w.Close()
	f.connected, f.said = true, false
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

// pause waits, longer each time; false when ctx ended meanwhile.
func (f *follower) pause(ctx context.Context) bool {
	f.wait = min(max(2*f.wait, followFirst), followMost)
	timer := time.NewTimer(f.wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
