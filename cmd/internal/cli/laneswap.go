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

// completionTimeout bounds what a shell waits for when Tab is pressed.
const completionTimeout = time.Second

// Laneswap runs the command laneswap and returns its exit code.
func Laneswap(p Process) int {
	o := &output{p: p}
	r := &remote{p: p, output: o}
	cmd := group("laneswap", "Watch that services are alive",
		serverCommand(p), r.servicesCommand(), r.eventsCommand(), r.explainCommand(), r.notifyCommand(), r.execCommand(), storeCommand(o), versionCommand(o))
	cmd.Long = "Watch that services are alive: run a server, ask one, or run a program under a heartbeat.\n\n" + exitCodes
	cmd.Example = "  laneswap server &\n  laneswap exec --name backup -- ./backup.sh\n  laneswap services list"
	cmd.Version = thisBuild().String()
	cmd.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	o.flags(cmd)
	server := p.env("LANESWAP_SERVER")
	if server == "" {
		server = defaultServer
	}
	// The default is not shown: a variable may hold a password.
	cmd.PersistentFlags().StringVar(&r.server, "server", server, "where the server is (LANESWAP_SERVER, else "+defaultServer+")")
	cmd.PersistentFlags().Lookup("server").DefValue = ""
	return p.execute(cmd)
}

// remote is the commands that ask a server.
type remote struct {
	*output
	p      Process
	server string
}

// dial makes the client; it does not connect.
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

// asking makes a command out of a function that asks the server.
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

// mostCompletions is how many ids are offered at most.
const mostCompletions = 50

// behind returns what a listing continues behind to begin with the ids that have
// the prefix, itself a valid id: it is below them, and above all before them.
func behind(prefix string) laneswap.ServiceID {
	if prefix == "" {
		return ""
	}
	last := len(prefix) - 1
	return laneswap.ServiceID(prefix[:last] + string(rune(prefix[last]-1)) + "~") // greater than all that ids hold
}

// completeIDs completes the ids of services, asked from the server; nothing when
// it does not answer at once.
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
		for st, err := range c.Services(ctx, laneswap.ServiceQuery{After: behind(prefix), Limit: mostCompletions}) {
			if err != nil || !strings.HasPrefix(string(st.ID), prefix) {
				break
			}
			ids = append(ids, cobra.CompletionWithDesc(string(st.ID), string(st.Status)))
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}
