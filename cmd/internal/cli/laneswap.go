package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/client"
)

const defaultServer = "http://127.0.0.1:8000"

// completionTimeout limits how long a completion may take.
const completionTimeout = time.Second

// Laneswap runs the command laneswap and returns its exit code.
func Laneswap(p Process) int {
	o := &output{p: p}
	r := &remote{p: p, output: o}
	cmd := group("laneswap", "A heartbeat monitor for services",
		serverCommand(p), r.servicesCommand(), r.eventsCommand(), r.explainCommand(), r.notifyCommand(), r.execCommand(), storeCommand(o), versionCommand(o))
	cmd.Long = "A heartbeat monitor for services: run a server, query it, or run a program that sends\nheartbeats.\n\n" + exitCodes
	cmd.Example = "  laneswap server &\n  laneswap exec --name backup -- ./backup.sh\n  laneswap services list"
	cmd.Version = thisBuild().String()
	cmd.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	o.flags(cmd)
	server := p.env("LANESWAP_SERVER")
	if server == "" {
		server = defaultServer
	}
	// The default is not shown: a variable may hold a password.
	cmd.PersistentFlags().StringVar(&r.server, "server", server, "address of the server (LANESWAP_SERVER, default "+defaultServer+")")
	cmd.PersistentFlags().Lookup("server").DefValue = ""
	return p.execute(cmd)
}

// remote holds what the commands that query a server share.
type remote struct {
	*output
	p      Process
	server string
}

// dial returns a client. It does not connect.
func (r *remote) dial(opts ...client.Option) (*client.Client, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	c, err := client.New(r.server, append([]client.Option{client.WithUserAgent("laneswap/" + laneswap.Version)}, opts...)...)
	if err != nil {
		return nil, usage(err)
	}
	return c, nil
}

// asking turns a function that queries the server into one that cobra runs.
func (r *remote) asking(run func(ctx context.Context, c *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := r.dial()
		if err != nil {
			return err
		}
		defer c.Close()
		return run(cmd.Context(), c, args)
	}
}

// maxCompletions limits how many ids are offered.
const maxCompletions = 50

// behind returns the greatest possible id before those with a prefix. prefix must be a
// valid id.
func behind(prefix string) laneswap.ServiceID {
	if prefix == "" {
		return ""
	}
	last := len(prefix) - 1
	return laneswap.ServiceID(prefix[:last] + string(rune(prefix[last]-1)) + "~") // greater than all that ids hold
}

// completeIDs completes ids of services. It asks the server, and offers nothing when the
// server does not answer within completionTimeout.
func (r *remote) completeIDs(many bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 && !many {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		if prefix != "" && laneswap.ValidateServiceID(laneswap.ServiceID(prefix)) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp // no id begins so
		}
		c, err := client.New(r.server, client.WithTimeout(completionTimeout))
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(context.Background(), completionTimeout)
		defer cancel()
		var ids []string
		for st, err := range c.Services(ctx, laneswap.ServiceQuery{After: behind(prefix), Limit: maxCompletions}) {
			if err != nil || !strings.HasPrefix(string(st.ID), prefix) {
				break
			}
			ids = append(ids, cobra.CompletionWithDesc(string(st.ID), string(st.Status)))
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}
