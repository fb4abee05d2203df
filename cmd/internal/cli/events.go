package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/client"
	"github.com/laneswap/laneswap/internal/table"
)

const eventsLong = `Show what happened: each change from good to bad, within bad, and back.

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
// oldest that there is: none of those was written before.
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
	for {
		err := r.followOnce(ctx, c, q)
		if errors.Is(context.Cause(ctx), errStopped) {
			return nil
		}
		if !errors.Is(err, laneswap.ErrGone) && !errors.Is(err, laneswap.ErrSlowConsumer) {
			return err
		}
		fmt.Fprintln(r.p.Stderr, "laneswap: some events are missing here: the server was restarted or no longer has them")
		q.After = 0
	}
}

func (r *remote) followOnce(ctx context.Context, c *client.Client, q laneswap.WatchQuery) error {
	w, err := c.Watch(ctx, q)
	if err != nil {
		return err
	}
	defer w.Close()
	for ev, err := range w.Events() {
		if err != nil {
			return err
		}
		if r.json() {
			err = r.writeLine(ev)
		} else {
			err = table.Event(r.p.Stdout, ev, r.table())
		}
		if err != nil {
			return err
		}
	}
	return nil
}
