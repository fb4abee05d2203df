package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/client"
	"github.com/laneswap/laneswap/internal/table"
)

func (r *remote) servicesCommand() *cobra.Command {
	return group("services", "List, register and remove services, and show their history",
		r.listCommand(), r.getCommand(), r.registerCommand(), r.heartbeatCommand(), r.deleteCommand(),
		r.historyCommand(), r.errorsCommand(), r.reportErrorCommand())
}

func (r *remote) listCommand() *cobra.Command {
	var q laneswap.ServiceQuery
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List services, the most urgent first",
		Long:    "List services, the most urgent first. With -o json: an array, ordered by id.",
		Example: "  laneswap services list --status stale\n  laneswap services list -o json | jq -r '.[].id'",
		Args:    cobra.NoArgs,
		RunE: r.asking(func(ctx context.Context, c *client.Client, _ []string) error {
			services := []laneswap.ServiceStatus{}
			for st, err := range c.Services(ctx, q) {
				if err != nil {
					return err
				}
				services = append(services, st)
			}
			if r.json() {
				return r.writeJSON(services)
			}
			slices.SortStableFunc(services, func(a, b laneswap.ServiceStatus) int { return a.Status.Compare(b.Status) })
			return table.Services(r.p.Stdout, services, r.table())
		}),
	}
	cmd.Flags().StringVar((*string)(&q.Status), "status", "", "only services with this status")
	cmd.Flags().StringVar(&q.Tag, "tag", "", "only services with this tag")
	cmd.Flags().StringVar(&q.Name, "name", "", "only services with this name")
	cmd.Flags().IntVar(&q.Limit, "limit", 0, "maximum number of services, ordered by id; 0 for all")
	_ = cmd.RegisterFlagCompletionFunc("status", completeStatuses(true))
	return cmd
}

func (r *remote) getCommand() *cobra.Command {
	return &cobra.Command{
		Use: "get ID", Short: "Show one service and its latest events",
		Example: "  laneswap services get billing@web-1",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: r.completeIDs(false),
		RunE: r.asking(func(ctx context.Context, c *client.Client, args []string) error {
			st, err := c.Service(ctx, laneswap.ServiceID(args[0]))
			if err != nil {
				return err
			}
			return r.show(st)
		}),
	}
}

// show writes one service.
func (r *remote) show(st laneswap.ServiceStatus) error {
	if r.json() {
		return r.writeJSON(st)
	}
	return table.Service(r.p.Stdout, st, r.table())
}

func (r *remote) deleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete ID...", Aliases: []string{"rm"}, Short: "Remove services",
		Example: "  laneswap services delete billing@web-1",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: r.completeIDs(true),
		RunE: r.asking(func(ctx context.Context, c *client.Client, args []string) error {
			var errs []error
			volatile := false
			for _, id := range args {
				err := c.Remove(ctx, laneswap.ServiceID(id))
				if errors.Is(err, laneswap.ErrDegraded) { // it is removed nevertheless
					volatile, err = true, nil
				}
				if err != nil {
					errs = append(errs, err)
				}
			}
			r.warnVolatile(volatile)
			return errors.Join(errs...)
		}),
	}
}

func (r *remote) registerCommand() *cobra.Command {
	reg := new(registration)
	cmd := &cobra.Command{
		Use: "register", Short: "Register or change a service and print its id",
		Long:    "Register a service, or change the service with this id, and print its id.",
		Example: "  laneswap services register --name billing --interval 30s --tag web",
		Args:    cobra.NoArgs,
		RunE: r.asking(func(ctx context.Context, c *client.Client, _ []string) error {
			st, err := c.Register(ctx, reg.Registration)
			if err != nil {
				return err
			}
			r.warnVolatile(st.NotDurable)
			if r.json() {
				return r.writeJSON(st)
			}
			_, err = fmt.Fprintln(r.p.Stdout, st.ID)
			return err
		}),
	}
	reg.flags(cmd)
	cmd.Flags().BoolVar(&reg.NoDeadline, "no-deadline", false, "the service never becomes stale")
	return cmd
}

func (r *remote) heartbeatCommand() *cobra.Command {
	var hb laneswap.Heartbeat
	var create bool
	var reg laneswap.Registration
	cmd := &cobra.Command{
		Use: "heartbeat ID", Aliases: []string{"beat"}, Short: "Send one heartbeat",
		Long:    "Send one heartbeat. Without flags it reports healthy.",
		Example: "  laneswap services heartbeat backup --create --interval 24h --message 'copied 12 GB'",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: r.completeIDs(false),
	}
	cmd.RunE = r.asking(func(ctx context.Context, c *client.Client, args []string) error {
		for _, name := range []string{"interval", "alert-after", "recover-after"} {
			if cmd.Flags().Changed(name) && !create {
				return usage(fmt.Errorf("--%s needs --create: a heartbeat does not change the registration", name))
			}
		}
		reg.ID = laneswap.ServiceID(args[0])
		var st laneswap.ServiceStatus
		var err error
		if create {
			st, err = c.Announce(ctx, reg, hb)
		} else {
			st, err = c.Report(ctx, reg.ID, hb)
		}
		if err != nil {
			return err
		}
		r.warnVolatile(st.NotDurable)
		if !r.json() {
			return nil
		}
		return r.writeJSON(st)
	})
	cmd.Flags().StringVar((*string)(&hb.Status), "status", "", "reported status (default healthy)")
	cmd.Flags().StringVar(&hb.Message, "message", "", "message shown to people")
	cmd.Flags().Var((*metadata)(&hb.Metadata), "metadata", "KEY=VALUE to store with the service; may be repeated")
	cmd.Flags().BoolVar(&hb.Final, "final", false, "the last heartbeat: silence after it is expected")
	cmd.Flags().BoolVar(&create, "create", false, "register the service if it does not exist")
	cmd.Flags().Var(&duration{&reg.Interval, false}, "interval", "with --create: how often the service sends heartbeats")
	thresholdFlags(cmd, &reg, "with --create: ")
	_ = cmd.RegisterFlagCompletionFunc("status", completeStatuses(false))
	return cmd
}

// completeStatuses completes the statuses that can be reported, or all.
func completeStatuses(all bool) cobra.CompletionFunc {
	var names []string
	for _, st := range laneswap.Statuses() {
		if all || st != laneswap.StatusStale {
			names = append(names, string(st))
		}
	}
	return cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp)
}

// registration has the flags that "register" and "exec" share.
type registration struct{ laneswap.Registration }

func (r *registration) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar((*string)(&r.ID), "id", "", "id of the service, for example billing@web-1")
	cmd.Flags().StringVar(&r.Name, "name", "", "name of the service, for people")
	cmd.Flags().Var(&duration{&r.Interval, false}, "interval", "how often the service sends heartbeats")
	cmd.Flags().Var(&duration{&r.StaleAfter, false}, "stale-after", "silence after which the service is stale")
	thresholdFlags(cmd, &r.Registration, "")
	cmd.Flags().StringArrayVar(&r.Tags, "tag", nil, "tag; may be repeated")
	cmd.Flags().Var(&duration{&r.ForgetAfter, true}, "forget-after", "remove the service this long after it went stale or shut down; or never")
	cmd.Flags().BoolVar(&r.MustRun, "must-run", false, "alert when the service shuts down")
	cmd.Flags().Var((*metadata)(&r.Metadata), "metadata", "KEY=VALUE to store with the service; may be repeated")
}

// thresholdFlags adds the flags that delay alerts.
func thresholdFlags(cmd *cobra.Command, reg *laneswap.Registration, when string) {
	cmd.Flags().Var(&threshold{&reg.AlertAfter}, "alert-after", when+"alert after this many bad heartbeats, or this long")
	cmd.Flags().Var(&threshold{&reg.RecoverAfter}, "recover-after", when+"report the recovery after this many good heartbeats, or this long")
}

// nameOf returns the default name of a service that runs program.
func nameOf(program string) string {
	if i := strings.LastIndexAny(program, `/\`); i >= 0 {
		program = program[i+1:]
	}
	name := []rune(strings.TrimSpace(laneswap.Sanitize(program)))
	return string(name[:min(len(name), 128)])
}
