package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/client"
	"github.com/laneswap/laneswap/internal/table"
)

const explainLong = `Show what happened to the notices of an event: for each notifier the state, the
message and every step.

For the id of a service, show its latest events, the newest last. Anything else is
the id of an event, as "events -o json" prints it. With -o json: the explanation
of an event, or an array of them for a service.`

// The limits of events that are explained; a service has no more than maxExplained.
const (
	maxExplained     = 10
	defaultExplained = 5
)

func (r *remote) explainCommand() *cobra.Command {
	limit := defaultExplained
	cmd := &cobra.Command{
		Use: "explain EVENT|SERVICE", Short: "Show why an event was alerted, or was not", Long: explainLong,
		Example: "  laneswap explain billing@web-1\n  laneswap explain billing@web-1/mwqt5jh4-1/2 -o json",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: r.completeIDs(false),
	}
	cmd.RunE = r.asking(func(ctx context.Context, c *client.Client, args []string) error {
		if limit < 1 || limit > maxExplained {
			return usage(fmt.Errorf("--limit is %d, it must be from 1 to %d", limit, maxExplained))
		}
		if !strings.Contains(args[0], "/") {
			st, err := c.Service(ctx, laneswap.ServiceID(args[0]))
			switch {
			case err == nil:
				return r.explainEvents(ctx, c, st.Events[max(0, len(st.Events)-limit):])
			case !errors.Is(err, laneswap.ErrServiceNotFound) && !errors.Is(err, laneswap.ErrInvalidServiceID):
				return err
			}
		}
		explained, err := c.Explain(ctx, args[0])
		switch {
		case errors.Is(err, laneswap.ErrEventNotFound):
			return &exitError{code: CodeNotFound, err: fmt.Errorf("there is no service and no stored event with the id %q", args[0])}
		case err != nil:
			return err
		case r.json():
			return r.writeJSON(explained)
		}
		return table.Explanation(r.p.Stdout, explained, r.table())
	})
	cmd.Flags().IntVar(&limit, "limit", limit, fmt.Sprintf("of a service: maximum number of events, the newest; up to %d", maxExplained))
	return cmd
}

// explainEvents explains the events of a service. It skips those that were removed
// meanwhile.
func (r *remote) explainEvents(ctx context.Context, c *client.Client, events []laneswap.Event) error {
	list := []laneswap.Explanation{}
	for _, ev := range events {
		explained, err := c.Explain(ctx, ev.ID)
		switch {
		case errors.Is(err, laneswap.ErrEventNotFound):
		case err != nil:
			return err
		default:
			list = append(list, explained)
		}
	}
	if r.json() {
		return r.writeJSON(list)
	}
	if len(list) == 0 {
		_, err := io.WriteString(r.p.Stdout, "there are no events yet\n")
		return err
	}
	for i, explained := range list {
		if i > 0 {
			if _, err := io.WriteString(r.p.Stdout, "\n"); err != nil {
				return err
			}
		}
		if err := table.Explanation(r.p.Stdout, explained, r.table()); err != nil {
			return err
		}
	}
	return nil
}
