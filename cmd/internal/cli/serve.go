package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/laneswap/laneswap/server"
)

const serveLong = `A LaneSwap server: services send it heartbeats over HTTP, and it notices when one
falls silent. It stores its state in the file laneswap.db in the working folder
(see --data), in MongoDB if LANESWAP_MONGODB_URI is set, or with --storage memory
not at all.

SIGINT and SIGTERM stop it within 10 seconds, a second signal at once. Durations
are seconds (30) or have a unit (90s, 5m, 400d). Flags win over the environment.`

// Laneswapd runs the command laneswapd and returns its exit code.
func Laneswapd(p Process) int {
	cmd := &cobra.Command{
		Use: "laneswapd", Short: "A heartbeat monitor", Long: serveLong + "\n\nExit codes: 0 stopped, 1 failed, 2 wrong usage or settings.",
		Example: "  laneswapd --host 127.0.0.1 --stale-threshold 90s",
		Args:    cobra.NoArgs, RunE: p.serve, Version: thisBuild().String(),
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	cmd.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	addSettings(cmd)
	return p.execute(cmd)
}

func serverCommand(p Process) *cobra.Command {
	cmd := &cobra.Command{
		Use: "server", Short: "Run a server, like laneswapd", Long: serveLong,
		Example: "  laneswap server --port 8000 --stale-threshold 90s",
		Args:    cobra.NoArgs, RunE: p.serve,
	}
	addSettings(cmd)
	return cmd
}

// serve runs a server until a signal or a failure ends it.
func (p Process) serve(cmd *cobra.Command, _ []string) error {
	cfg, err := p.settings(cmd)
	if err != nil {
		return err
	}
	stop, end := p.stopping()
	defer end()
	s, err := server.Open(cfg, server.WithLogOutput(p.Stderr))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }() // ends after cancel, in time; or with the process
	for signals := 0; ; signals++ {
		select {
		case err := <-done:
			return err
		case sig := <-stop:
			if signals > 0 {
				return &exitError{code: CodeFailure, err: errors.New(fmt.Sprint("stopped at once by a second signal, ", sig))}
			}
			cancel()
		}
	}
}
