// Package command is a notifier that runs a program for each notification. Use it for
// receivers without an adapter of their own.
//
//	n, err := command.New([]string{"/usr/local/bin/page", "--team", "shop"})
//	m := laneswap.NewManager(laneswap.WithNotifier(n))
//
// # Input
//
// The program reads the notification on standard input, as one JSON object like that
// of package webhook; in Go it decodes into a laneswap.Notification. For scripts the
// environment holds:
//
//	LANESWAP_NOTICE_ID       the same in each attempt with the same content
//	LANESWAP_KIND            event digest mass_silence flapping reminder test
//	LANESWAP_TITLE           one short line
//	LANESWAP_TEXT            the whole text, which may have several lines, up to 8 KiB
//	LANESWAP_LEVEL           info success warning error
//	LANESWAP_ITEMS           the number of services
//	LANESWAP_SERVICE         the id of the first service
//	LANESWAP_NAME            its name
//	LANESWAP_EVENT           up down worse better recovered ...
//	LANESWAP_EVENT_ID        the id of that event
//	LANESWAP_STATUS          the status after the event
//	LANESWAP_PREVIOUS_STATUS the status before it
//	LANESWAP_MESSAGE         the message of the last heartbeat
//	LANESWAP_INCIDENT        the id of the incident, the same from first alert to recovery
//	LANESWAP_ATTEMPT         1, 2, ...
//
// All of them are always set, perhaps empty, and cut to 1 KiB except the text. They
// hold text from services without control characters, and nothing else is escaped: in
// a shell write "$LANESWAP_TITLE" in double quotes, and never pass it to eval.
//
// The rest of the environment is that of this process, without the variables LANESWAP_*
// and those named by WithoutEnv: they hold secrets of LaneSwap. WithEnv replaces it.
//
// The Notifier uses no shell. Program and arguments are those given to New; nothing of
// a notification becomes an argument.
//
// # Result
//
// The program has 30 seconds. Exit status 0 accepts the message; LaneSwap stores the
// first line of standard output with the notice. 64 and 65 (EX_USAGE and EX_DATAERR of
// sysexits.h) refuse this message for good. After any other status, such as 75
// (EX_TEMPFAIL), and after death by a signal, the Manager retries for 24 hours. The
// error shows the last lines of standard error, up to 300 bytes. In the program's
// output the Notifier hides arguments, values of WithEnv, and the parts of URLs in
// them, if they have eight bytes or more. It cannot hide other secrets.
//
// When its time is up the program is killed, on Unix with all processes of its group.
// If it ends by itself and leaves processes behind, they go on, and the Notifier reads
// their output for two seconds more. It waits no longer either for a program that
// cannot be killed because it became another user, as sudo does.
package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/text"
)

// The exit codes with a meaning, as in sysexits.h. All others but 0 are tried again.
const (
	exitUsage   = 64
	exitDataErr = 65
)

// outputTime is how long the Notifier reads the output of processes that the program
// has left behind.
const outputTime = 2 * time.Second

// Notifier runs a program for each notification. Use New to create one. It is safe for
// concurrent use and needs no Close.
type Notifier struct {
	name string
	path string // of the program, absolute
	args []string
	env  []string // of WithEnv; nil inherits that of this process
	kept []string // names of variables that the program does not inherit
	dir  string

	hidden *strings.Replacer // hides secrets in the program's output
}

// Option changes a Notifier while New creates it.
type Option func(*Notifier) error

// WithName sets the name of the notifier in logs, API answers and the storage. The
// default is "command".
func WithName(name string) Option {
	return func(n *Notifier) error {
		if name == "" {
			return invalid("name", "is empty")
		}
		n.name = name
		return nil
	}
}

// WithEnv sets the environment of the program, strings of the form "key=value", instead
// of that of this process. The variables of the notification are added. The values may
// be secrets: no error shows them.
func WithEnv(env ...string) Option {
	return func(n *Notifier) error {
		for _, entry := range env {
			if key, _, ok := strings.Cut(entry, "="); !ok || key == "" || strings.Contains(entry, "\x00") {
				return invalid("environment", "must consist of entries key=value")
			}
		}
		n.env = append([]string{}, env...)
		return nil
	}
}

// WithoutEnv names variables of this process that the program does not inherit, such as
// those that hold secrets.
func WithoutEnv(names ...string) Option {
	return func(n *Notifier) error {
		n.kept = append(n.kept, names...)
		return nil
	}
}

// WithDir sets the working directory of the program, which must exist, instead of that
// of this process. The path of the program does not depend on it.
func WithDir(dir string) Option {
	return func(n *Notifier) error {
		abs, err := filepath.Abs(dir)
		if err != nil || dir == "" {
			return invalid("directory", "cannot be used")
		}
		if info, err := os.Stat(abs); err != nil {
			return invalid("directory", "cannot be used: "+reason(err))
		} else if !info.IsDir() {
			return invalid("directory", "is not a directory")
		}
		n.dir = abs
		return nil
	}
}

// New returns a Notifier that runs the program argv[0] with the arguments argv[1:]. New
// looks the program up, in PATH if its name has no slash, and runs nothing; the program
// must exist and be executable. The error matches laneswap.ErrInvalidOption and shows
// the name of the program, never an argument.
func New(argv []string, opts ...Option) (*Notifier, error) {
	n := &Notifier{name: "command"}
	if len(argv) == 0 || argv[0] == "" {
		return nil, invalid("program", "is not given")
	}
	if slices.ContainsFunc(argv, func(arg string) bool { return strings.Contains(arg, "\x00") }) {
		return nil, invalid("arguments", "hold a zero byte")
	}
	n.args = slices.Clone(argv)
	for _, opt := range opts {
		if err := opt(n); err != nil {
			return nil, err
		}
	}
	path, err := exec.LookPath(argv[0])
	if err == nil {
		path, err = filepath.Abs(path) // the working directory may change
	}
	if err != nil {
		return nil, invalid("program", fmt.Sprintf("%q cannot be run: %s", text.Cut(argv[0], 300), lookupError(err)))
	}
	n.path = path
	n.hidden = hiding(n.args[1:], n.env)
	return n, nil
}

// lookupError returns why a program cannot be run, without its name.
func lookupError(err error) string {
	if errors.Is(err, exec.ErrDot) {
		return "it is in the current directory, which PATH names; write ./ before its name"
	}
	var lookup *exec.Error
	if errors.As(err, &lookup) {
		err = lookup.Err
	}
	return reason(err)
}

func invalid(field, problem string) error {
	return &laneswap.ValidationError{Field: "command " + field, Problem: problem, Err: laneswap.ErrInvalidOption}
}

// Name returns the notifier's name in logs, API answers and the storage: "command", or
// that of WithName.
func (n *Notifier) Name() string { return n.name }

// Format writes the names of the notifier and its program only, for every verb: the
// arguments may be secrets.
func (n Notifier) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "command notifier %q (%s)", n.name, filepath.Base(n.path))
}

// Notify runs the program once.
func (n *Notifier) Notify(ctx context.Context, note laneswap.Notification) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("the program was not run: %w", err)
	}
	input, err := json.Marshal(note)
	if err != nil {
		return laneswap.Refused(errors.New("the message cannot be encoded as JSON"))
	}
	var stdout firstLine
	var stderr lastLines
	killed := false // set by the goroutine of Wait, read after that has returned
	cmd := exec.CommandContext(ctx, n.path, n.args[1:]...)
	cmd.Args[0] = n.args[0] // as given to New
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &stdout, &stderr
	cmd.Env, cmd.Dir = n.environ(note), n.dir
	cmd.WaitDelay = outputTime
	group(cmd)
	cmd.Cancel = func() error {
		err := kill(cmd)
		killed = err == nil
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("the program cannot be run: %s", reason(err))
	}
	if !ended(ctx, cmd, outputTime+time.Second) { // exec closes its output after outputTime
		return fmt.Errorf("the program could not be killed and still runs: %w", ctx.Err())
	}
	code := cmd.ProcessState.ExitCode()
	switch {
	case code == 0:
		// Even if a process that it left behind still holds its output.
		if line := stdout.String(); line != "" {
			note.Receipt(n.hidden.Replace(line))
		}
		return nil
	case killed:
		return fmt.Errorf("the program was killed: %w", n.withOutput(ctx.Err(), stderr.String()))
	case code == exitUsage || code == exitDataErr:
		return laneswap.Refused(n.withOutput(fmt.Errorf("the program ended with exit status %d, which refuses the message", code), stderr.String()))
	case code < 0:
		return n.withOutput(fmt.Errorf("the program ended by %s", cmd.ProcessState), stderr.String())
	}
	return n.withOutput(fmt.Errorf("the program ended with exit status %d", code), stderr.String())
}

// ended waits for the program. It returns false when the program still runs grace after
// ctx has ended.
func ended(ctx context.Context, cmd *exec.Cmd, grace time.Duration) bool {
	done := make(chan struct{})
	go func() { // ends with the program
		defer close(done)
		_ = cmd.Wait() // ProcessState holds the result
	}()
	select {
	case <-done:
		return true
	case <-ctx.Done():
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case <-done:
		return true
	case <-late.C:
		return false
	}
}

// withOutput adds the last output of the program to err, without secrets.
func (n *Notifier) withOutput(err error, last string) error {
	last = text.Cut(laneswap.Sanitize(n.hidden.Replace(last)), maxLast)
	if strings.TrimSpace(last) == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, last)
}
