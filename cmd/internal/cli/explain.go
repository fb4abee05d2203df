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

const explainLong = `Show what was decided about the notices of an event: for each notifier whether it
was told, as which message, and each step on the way there.

The id of a service stands for its latest events, the newest last. What has a
slash in it, or is the id of no service, is the id of an event, as "events -o json"
shows it. With -o json: the explanation of an event, or an array of them for a
service.`

// The most events of a service that are explained: a service shows no more.
const (
	mostExplained    = 10
	defaultExplained = 5
)

func (r *remote) explainCommand() *cobra.Command {
	limit := defaultExplained
	cmd := &cobra.Command{
		Use: "explain EVENT|SERVICE", Short: "Show why people were told of something, or were not", Long: explainLong,
		Example: "  laneswap explain billing@web-1\n  laneswap explain billing@web-1/mwqt5jh4-1/2 -o json",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: r.completeIDs(false),
	}
	cmd.RunE = r.asking(func(ctx context.Context, c *client.Client, args []string) error {
		if limit < 1 || limit > mostExplained {
			return usage(fmt.Errorf("--limit is %d, it must be from 1 to %d", limit, mostExplained))
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
			return &exitError{code: CodeNotFound, err: fmt.Errorf("%q is neither the id of a service nor that of an event which is kept", args[0])}
		case err != nil:
			return err
		case r.json():
			return r.writeJSON(explained)
		}
		return table.Explanation(r.p.Stdout, explained, r.table())
	})
	cmd.Flags().IntVar(&limit, "limit", limit, fmt.Sprintf("of a service: at most this many events, the newest; up to %d", mostExplained))
	return cmd
}

// explainEvents explains the events of a service. One that was forgotten meanwhile
// is left out.
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
		_, err := io.WriteString(r.p.Stdout, "nothing happened yet\n")
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
