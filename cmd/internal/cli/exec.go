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
	"github.com/laneswap/laneswap/internal/execwrap"
)

// maxMessageBytes is the limit of a message.
const maxMessageBytes = 4 << 10

const execLong = `Run a program and send heartbeats while it runs.

Signals, standard input, output and the exit code pass through. If the program
fails, the service reports error; the message has the exit code or signal and
the last 4 KiB of output. If the program succeeds, the service reports shutdown.
If this wrapper is killed, the service goes stale. A server that cannot be
reached neither delays nor harms the program. A failure is alerted at once:
--alert-after applies only to silence while the program runs.

The flags replace the whole registration of the service, except for metadata,
which is merged.

Ctrl-C and Ctrl-\ reach the program from the terminal itself. In the foreground
of a terminal, this wrapper therefore does not forward SIGINT and SIGQUIT: the
program would get them twice. To stop it with kill, send SIGTERM or SIGHUP to
the wrapper, or signal the program.

With --capture auto the wrapper reads an output and passes it on, unless it is a
terminal. With always it reads a terminal too; with never it reads nothing. It
reads until all processes have closed the output, also those that the program
leaves in the background.

Exit codes: that of the program; 128+N if signal N killed it; 127 if it was not
found; 126 if it could not be started; 2 for wrong usage of exec itself.
Under systemd set KillMode=mixed, or the program gets SIGTERM twice.`

func (r *remote) execCommand() *cobra.Command {
	reg := &registration{}
	reg.Interval = client.DefaultInterval
	var capture string
	cmd := &cobra.Command{
		Use: "exec --name NAME [flags] -- COMMAND [ARG...]", Short: "Run a program and send heartbeats for it", Long: execLong,
		Example: "  laneswap exec --name backup --interval 10s -- ./backup.sh --all",
		Args:    cobra.MinimumNArgs(1), DisableFlagsInUseLine: true,
		RunE: func(_ *cobra.Command, args []string) error {
			how, err := captureOf(capture)
			if err != nil {
				return err
			}
			return r.exec(reg.Registration, how, args)
		},
	}
	// Flags after the command belong to the command.
	cmd.Flags().SetInterspersed(false)
	reg.flags(cmd)
	cmd.Flags().Lookup("name").Usage = "name of the service, for people (default the name of the command)"
	cmd.Flags().Lookup("id").Usage = "id of the service (default NAME@HOST)"
	cmd.Flags().StringVar(&capture, "capture", "auto", "read the output for the message: auto, always or never")
	_ = cmd.RegisterFlagCompletionFunc("capture", cobra.FixedCompletions([]string{"auto", "always", "never"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func captureOf(text string) (execwrap.Capture, error) {
	switch text {
	case "auto":
		return execwrap.CaptureAuto, nil
	case "always":
		return execwrap.CaptureAlways, nil
	case "never":
		return execwrap.CaptureNever, nil
	}
	return 0, usage(fmt.Errorf("--capture is %q, it must be auto, always or never", text))
}

// exec runs a program. It checks the flags first; after the start only the program
// decides the exit code.
func (r *remote) exec(reg laneswap.Registration, capture execwrap.Capture, args []string) error {
	stdin, _ := r.p.Stdin.(*os.File)
	stdout, okOut := r.p.Stdout.(*os.File)
	stderr, okErr := r.p.Stderr.(*os.File)
	if !okOut || !okErr {
		return errors.New("exec needs files for its outputs")
	}
	if reg.Name == "" {
		reg.Name = nameOf(args[0])
	}
	if reg.ID == "" {
		reg.ID = client.DefaultID(reg.Name)
	}
	// A local Manager refuses what every server would refuse.
	if _, err := laneswap.NewManager().Register(context.Background(), reg); err != nil {
		return usage(err)
	}
	c, err := r.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	// The agent connects in the background: the program starts without waiting.
	agent, err := c.Agent(reg)
	if err != nil {
		return usage(err)
	}
	o := execwrap.Run(execwrap.Command{
		Args: args, Stdin: stdin, Stdout: stdout, Stderr: stderr, Capture: capture,
		Ended: func(o execwrap.Outcome) {
			if err := report(agent, o); err != nil {
				warn(stderr, fmt.Sprintf("cannot report the end of %s: %s", reg.ID, oneLine(err)))
			}
		},
	})
	if o.OutputErr != nil {
		warn(stderr, "cannot write all output: "+oneLine(o.OutputErr))
	}
	if o.Err != nil {
		return &exitError{code: o.Code, err: o.Err}
	}
	if o.Code != 0 {
		return &exitError{code: o.Code}
	}
	return nil
}

// report sends how the program ended. The last heartbeat is final, so that a failure
// keeps its message instead of going stale. Another wrapper under the same id is watched
// again from its next heartbeat on.
func report(agent *client.Agent, o execwrap.Outcome) error {
	if o.Good() {
		return agent.Close()
	}
	return agent.CloseWith(laneswap.Heartbeat{Status: laneswap.StatusError, Message: o.Message(maxMessageBytes)})
}

// warn writes a line to standard error, among those of a wrapped program.
func warn(w io.Writer, text string) {
	fmt.Fprintln(w, "laneswap: "+laneswap.Sanitize(text))
}
