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

// messageBytes is the limit of a message.
const messageBytes = 4 << 10

const execLong = `Run a program under a heartbeat: the service is alive while the program is.

Signals, standard input, output and the exit code pass through. When the program
fails, the service turns to error, and its message says the exit code or signal
and the last 4 KiB of output; when it ends well, it says shutdown. When this
wrapper is killed, the service goes stale. A server that is away neither delays
nor harms the program. People are told of a failure at once, whatever
--alert-after says: that is about silence while the program runs.

The flags are the service's whole registration: one that was made before under
the same id is replaced, except for its metadata, which is added to.

Ctrl-C and Ctrl-\ reach the program from the terminal itself. While this wrapper
is in the terminal's foreground it therefore sends SIGINT and SIGQUIT on to
nobody, else the program got each twice: who signals the wrapper alone, as kill
does, stops it with SIGTERM or SIGHUP, or signals the program.

An output that is a terminal is left to the program and not kept, unless
--capture always. Other outputs are read and passed on until nobody holds them
any more, which includes what the program leaves behind in the background; with
--capture never the outputs are the program's alone.

Exit codes: the program's own; 128+N when signal N killed it; 127 when it was
not found; 126 when it could not be run; 2 for wrong usage of exec itself.
Under systemd set KillMode=mixed, else the program gets SIGTERM twice.`

func (r *remote) execCommand() *cobra.Command {
	reg := &registration{}
	reg.Interval = client.DefaultInterval
	var capture string
	cmd := &cobra.Command{
		Use: "exec --name NAME [flags] -- COMMAND [ARG...]", Short: "Run a program under a heartbeat", Long: execLong,
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
	// What follows the command is the command's.
	cmd.Flags().SetInterspersed(false)
	reg.flags(cmd)
	cmd.Flags().Lookup("name").Usage = "its name, for people; the command's unless set"
	cmd.Flags().Lookup("id").Usage = "its id; NAME@HOST unless set"
	cmd.Flags().StringVar(&capture, "capture", "auto", "whether output is kept for the message: auto, always or never")
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

// exec runs a program. What is wrong with the flags is said before; afterwards
// nothing but the program decides the exit code.
func (r *remote) exec(reg laneswap.Registration, capture execwrap.Capture, args []string) error {
	stdin, _ := r.p.Stdin.(*os.File)
	stdout, okOut := r.p.Stdout.(*os.File)
	stderr, okErr := r.p.Stderr.(*os.File)
	if !okOut || !okErr {
		return errors.New("exec needs real files for its outputs")
	}
	if reg.Name == "" {
		reg.Name = nameOf(args[0])
	}
	if reg.ID == "" {
		reg.ID = client.DefaultID(reg.Name)
	}
	// A Manager of our own finds what every server would refuse.
	if _, err := laneswap.NewManager().Register(context.Background(), reg); err != nil {
		return usage(err)
	}
	c, err := r.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	// It makes a goroutine and returns: the program starts without waiting.
	agent, err := c.Agent(reg)
	if err != nil {
		return usage(err)
	}
	o := execwrap.Run(execwrap.Command{
		Args: args, Stdin: stdin, Stdout: stdout, Stderr: stderr, Capture: capture,
		Ended: func(o execwrap.Outcome) {
			if err := report(agent, o); err != nil {
				say(stderr, fmt.Sprintf("the end of %s was not reported: %s", reg.ID, oneLine(err)))
			}
		},
	})
	if o.OutputErr != nil {
		say(stderr, "not all output could be written: "+oneLine(o.OutputErr))
	}
	if o.Err != nil {
		return &exitError{code: o.Code, err: o.Err}
	}
	if o.Code != 0 {
		return &exitError{code: o.Code}
	}
	return nil
}

// report tells the server how the program ended. Last words are final, so that a
// failure keeps saying what went wrong instead of going stale as well; another
// wrapper under the same id is watched again with its next beat.
func report(agent *client.Agent, o execwrap.Outcome) error {
	if o.Good() {
		return agent.Close()
	}
	return agent.CloseWith(laneswap.Heartbeat{Status: laneswap.StatusError, Message: o.Message(messageBytes)})
}

// say writes a line of our own among the program's.
func say(w io.Writer, text string) {
	fmt.Fprintln(w, "laneswap: "+laneswap.Sanitize(text))
}
