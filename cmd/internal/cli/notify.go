package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/client"
	"github.com/laneswap/laneswap/internal/table"
)

func (r *remote) notifyCommand() *cobra.Command {
	cmd := group("notify", "Look at the server's notifiers, and test them", r.notifiersCommand(), r.testNotifiersCommand())
	cmd.Example = "  laneswap notify list\n  laneswap notify test discord"
	return cmd
}

func (r *remote) notifiersCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the notifiers, and what is owed to them",
		Long: `List the notifiers of the server, and what is owed to them. A notifier is ok,
retrying (it failed and is tried again), stuck (it has not returned for 30 seconds)
or disabled (its receiver takes nothing any more; a test that gets through, or a
restart of the server, has it used again). With -o json: an array.`,
		Args: cobra.NoArgs,
		RunE: r.asking(func(ctx context.Context, c *client.Client, _ []string) error {
			list, err := c.Notifiers(ctx)
			if err != nil {
				return err
			}
			if r.json() {
				return r.writeJSON(append([]laneswap.NotifierStatus{}, list...))
			}
			return table.Notifiers(r.p.Stdout, list, r.table())
		}),
	}
}

func (r *remote) testNotifiersCommand() *cobra.Command {
	return &cobra.Command{
		Use: "test [NOTIFIER...]", Short: "Send a test message, and say what came back",
		Long: `Have the server send a test message through the notifiers, one after the other,
and say what came back for each; through all of them when none is named. A message
that is being sent, or a pause that the receiver asked for, is waited for, up to a
minute. A disabled notifier that delivers the test is used again. Exits with 1 when
one was not delivered. With -o json: an array.`,
		Example: "  laneswap notify test\n  laneswap notify test discord -o json",
		RunE:    r.asking(r.testNotifiers), ValidArgsFunction: r.completeNotifiers,
	}
}

func (r *remote) testNotifiers(ctx context.Context, c *client.Client, names []string) error {
	if len(names) == 0 {
		list, err := c.Notifiers(ctx)
		switch {
		case err != nil:
			return err
		case len(list) == 0:
			return errors.New("the server has no notifiers")
		}
		for _, n := range list {
			names = append(names, n.Name)
		}
	}
	tests := []laneswap.NotifierTest{}
	var errs []error
	failed := false
	for _, name := range names {
		test, err := c.TestNotifier(ctx, name)
		if errors.Is(err, laneswap.ErrNotifierNotFound) {
			errs = append(errs, &exitError{code: CodeNotFound, err: fmt.Errorf("there is no notifier %q", name)})
			continue
		}
		if err != nil {
			errs = append(errs, err)
			break // the next would fare no better
		}
		failed = failed || !test.Delivered
		tests = append(tests, test)
		if !r.json() {
			if err := table.NotifierTest(r.p.Stdout, test, r.table()); err != nil {
				return err
			}
		}
	}
	if r.json() {
		if err := r.writeJSON(tests); err != nil {
			return err
		}
	}
	switch err := errors.Join(errs...); {
	case failed: // more than what is wrong with the names
		return &exitError{code: CodeFailure, err: err}
	default:
		return err
	}
}

// completeNotifiers completes the names of notifiers, asked from the server;
// nothing when it does not answer at once.
func (r *remote) completeNotifiers(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	c, err := client.New(r.server, client.WithTimeout(completionTimeout))
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer c.Close()
	list, _ := c.Notifiers(context.Background()) // without an answer there is nothing to offer
	var names []string
	for _, n := range list {
		if strings.HasPrefix(n.Name, prefix) {
			names = append(names, cobra.CompletionWithDesc(n.Name, string(n.State)))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
