// Package cli implements the commands laneswap and laneswapd: flags, output and exit
// codes. Arguments, environment and streams come in a Process, so that tests can call a
// command like a function.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/client"
	"github.com/laneswap/laneswap/config"
)

// The exit codes. "laneswap exec" exits with the code of its program instead.
const (
	CodeOK          = 0
	CodeFailure     = 1
	CodeUsage       = 2 // flags, arguments, settings, or input that the server refuses
	CodeNotFound    = 3 // no such service, event or notifier
	CodeUnreachable = 4 // no answer from the server
)

const exitCodes = `Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 no such service,
event or notifier, 4 server not reachable. "laneswap exec" returns the exit code of its program.`

// Process holds the parts of the operating system process that a command uses.
type Process struct {
	// Args are the arguments, without the name of the program.
	Args []string
	// Environ is the environment, in the form of os.Environ.
	Environ []string
	// "laneswap exec" passes the streams on to its program and needs files.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Stop delivers the signals that end a server or "events --follow". The first
	// signal ends it gently, the second ends a server at once. nil means SIGINT and
	// SIGTERM of this process.
	Stop <-chan os.Signal
}

// Real returns the Process of this program.
func Real() Process {
	return Process{Args: os.Args[1:], Environ: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
}

// stopping returns the channel of stop signals, and a function that releases it.
func (p Process) stopping() (stop <-chan os.Signal, end func()) {
	if p.Stop != nil {
		return p.Stop, func() {}
	}
	own := make(chan os.Signal, 2)
	signal.Notify(own, os.Interrupt, syscall.SIGTERM)
	return own, func() { signal.Stop(own) }
}

// env returns a variable, "" when it is not set.
func (p Process) env(name string) string {
	for _, entry := range p.Environ {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// width returns the width of the terminal on standard output; 0 without a terminal.
func (p Process) width() int {
	f, ok := p.Stdout.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// exitError ends a command with an exit code, silently when err is nil.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usage marks err as wrong usage.
func usage(err error) error { return &exitError{code: CodeUsage, err: err} }

// execute runs a command, prints its error in one line, and returns the exit code.
func (p Process) execute(root *cobra.Command) int {
	ran := false
	root.PersistentPreRun = func(*cobra.Command, []string) { ran = true }
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetArgs(p.Args)
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	cmd, err := root.ExecuteContextC(context.Background())
	if err == nil {
		return CodeOK
	}
	code := codeOf(err)
	if !ran { // the command line was wrong
		code = CodeUsage
	}
	var exit *exitError
	if errors.As(err, &exit) && exit.err == nil {
		return code
	}
	text := oneLine(err)
	if !ran {
		text += fmt.Sprintf(" (see %s --help)", cmd.CommandPath())
	}
	fmt.Fprintf(p.Stderr, "%s: %s\n", root.Name(), text)
	return code
}

// oneLine returns the text of err in one line, without the prefixes of our packages.
func oneLine(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		line = strings.TrimPrefix(strings.ReplaceAll(line, "laneswap: ", ""), "server: ")
		lines[i] = strings.Join(strings.Fields(laneswap.Sanitize(line)), " ")
	}
	return strings.Join(slices.DeleteFunc(lines, func(line string) bool { return line == "" }), "; ")
}

func codeOf(err error) int {
	var exit *exitError
	var invalid *laneswap.ValidationError
	var settings config.Errors
	switch {
	case errors.As(err, &exit):
		return exit.code
	case errors.Is(err, laneswap.ErrServiceNotFound), errors.Is(err, laneswap.ErrEventNotFound), errors.Is(err, laneswap.ErrNotifierNotFound):
		return CodeNotFound
	case errors.As(err, &invalid), errors.As(err, &settings):
		return CodeUsage
	case errors.Is(err, client.ErrUnreachable):
		return CodeUnreachable
	}
	return CodeFailure
}

// group returns a command that only has subcommands.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}
