package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/client"
	"github.com/laneswap/laneswap/internal/table"
)

func (r *remote) errorsCommand() *cobra.Command {
	q := laneswap.ErrorQuery{Limit: 50}
	cmd := &cobra.Command{
		Use: "errors ID", Short: "Show the errors that a service reported",
		Long:    "Show the errors that a service reported, the newest first. With -o json: an array,\nwith stack traces and metadata.",
		Example: "  laneswap services errors billing@web-1 --limit 5\n  laneswap services errors billing@web-1 -o json | jq -r '.[0].stack'",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: r.completeIDs(false),
		RunE: r.asking(func(ctx context.Context, c *client.Client, args []string) error {
			records := []laneswap.ErrorRecord{}
			for rec, err := range c.Errors(ctx, laneswap.ServiceID(args[0]), q) {
				if err != nil {
					return err
				}
				records = append(records, rec)
			}
			if r.json() {
				return r.writeJSON(records)
			}
			return table.Errors(r.p.Stdout, records, r.table())
		}),
	}
	cmd.Flags().IntVar(&q.Limit, "limit", q.Limit, "maximum number of errors; 0 for all that are stored")
	return cmd
}

func (r *remote) reportErrorCommand() *cobra.Command {
	var rep laneswap.ErrorReport
	var stackFile string
	cmd := &cobra.Command{
		Use: "report-error ID", Short: "Report an error of a service and print its id",
		Long: "Report an error of a service and print the id of the error. The server stores it. It\n" +
			"does not change the status of the service: only heartbeats do.",
		Example: "  laneswap services report-error backup --type ExitError --message 'tar: disk full'\n" +
			"  ./job 2> job.err || laneswap services report-error job --message 'job failed' --stack-file job.err",
		Args: cobra.ExactArgs(1), ValidArgsFunction: r.completeIDs(false),
	}
	cmd.RunE = r.asking(func(ctx context.Context, c *client.Client, args []string) error {
		rep := rep
		if stackFile != "" {
			stack, err := r.readStack(stackFile)
			if err != nil {
				return err
			}
			rep.Stack = stack
		}
		rec, err := c.ReportError(ctx, laneswap.ServiceID(args[0]), rep)
		if err != nil {
			return err
		}
		r.warnVolatile(rec.NotDurable)
		if r.json() {
			return r.writeJSON(rec)
		}
		_, err = fmt.Fprintln(r.p.Stdout, rec.ID)
		return err
	})
	cmd.Flags().StringVar(&rep.Type, "type", "", "type of the error, for example TimeoutError")
	cmd.Flags().StringVar(&rep.Message, "message", "", "what happened; this or --type is required")
	cmd.Flags().StringVar(&stackFile, "stack-file", "", "file with the stack trace; - for standard input")
	cmd.Flags().Var((*metadata)(&rep.Metadata), "metadata", "KEY=VALUE to store with it; may be repeated")
	return cmd
}

// maxStack limits the size of a stack trace. The server refuses more.
const maxStack = 1 << 20

// readStack returns the content of a file or of standard input.
func (r *remote) readStack(name string) (string, error) {
	in := r.p.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", usage(fmt.Errorf("--stack-file: %w", err))
		}
		defer f.Close()
		in = f
	}
	if in == nil {
		return "", usage(errors.New("--stack-file: there is no standard input"))
	}
	data, err := io.ReadAll(io.LimitReader(in, maxStack))
	if err != nil {
		return "", fmt.Errorf("--stack-file: %w", err)
	}
	return string(data), nil
}

// warnVolatile warns that the server accepted something that its storage does not have
// yet.
func (r *remote) warnVolatile(volatile bool) {
	if volatile {
		warn(r.p.Stderr, "the server has not stored it yet and keeps it in memory: its storage does not accept writes")
	}
}
