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
	cmd := group("notify", "List the notifiers of the server, and test them", r.notifiersCommand(), r.testNotifiersCommand())
	cmd.Example = "  laneswap notify list\n  laneswap notify test discord"
	return cmd
}

func (r *remote) notifiersCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the notifiers and their queues",
		Long: `List the notifiers of the server and their delivery queues. The state is ok,
retrying (the last attempt failed), stuck (an attempt has not returned for 30
seconds) or disabled (its receiver refuses everything; a successful test or a
restart of the server enables it again). With -o json: an array.`,
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
		Use: "test [NOTIFIER...]", Short: "Send a test message and print the result",
		Long: `Make the server send a test message through the named notifiers, or through all, one
after the other, and print each result. A test waits up to a minute for a message
that is being sent, or for a pause that the receiver asked for. A disabled notifier
that delivers the test is enabled again. The exit code is 1 if a test was not
delivered. With -o json: an array.`,
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
			break // the next would fail too
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
	case failed: // matters more than wrong names
		return &exitError{code: CodeFailure, err: err}
	default:
		return err
	}
}

// completeNotifiers completes names of notifiers. It asks the server, and offers nothing
// when the server does not answer within completionTimeout.
func (r *remote) completeNotifiers(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	c, err := client.New(r.server, client.WithTimeout(completionTimeout))
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer c.Close()
	list, _ := c.Notifiers(context.Background()) // without an answer it offers nothing
	var names []string
	for _, n := range list {
		if strings.HasPrefix(n.Name, prefix) {
			names = append(names, cobra.CompletionWithDesc(n.Name, string(n.State)))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
