// Package command is a notifier that runs a program for each notice: the way to
// whatever has no adapter of its own.
//
//	n, err := command.New([]string{"/usr/local/bin/page", "--team", "shop"})
//	m := laneswap.NewManager(laneswap.WithNotifier(n))
//
// # What the program gets
//
// On standard input the notice as one JSON object, as package webhook posts it;
// in Go it decodes into a laneswap.Notification. In its environment, for scripts:
//
//	LANESWAP_NOTICE_ID       the same each time that it is tried with the same content
//	LANESWAP_KIND            event digest mass_silence flapping reminder test
//	LANESWAP_TITLE           one short line
//	LANESWAP_TEXT            all of it as plain text, lines included, up to 8 KiB
//	LANESWAP_LEVEL           info success warning error
//	LANESWAP_ITEMS           how many services it tells of
//	LANESWAP_SERVICE         of the first: its id
//	LANESWAP_NAME            its name
//	LANESWAP_EVENT           up down worse better recovered ...
//	LANESWAP_EVENT_ID        the id of that event
//	LANESWAP_STATUS          how it is
//	LANESWAP_PREVIOUS_STATUS how it was
//	LANESWAP_MESSAGE         what it said last
//	LANESWAP_INCIDENT        the id of the incident, the same from first alarm to recovery
//	LANESWAP_ATTEMPT         1, 2, ...
//
// All are always set, maybe to nothing, and cut to 1 KiB where nothing else is said.
// They hold text from services, cleaned of control characters and nothing else: in a
// shell put "$LANESWAP_TITLE" between double quotes, and never into eval.
//
// The rest of the environment is that of this process without what is called
// LANESWAP_* or named by WithoutEnv: those hold the secrets of LaneSwap itself.
// WithEnv gives another one.
//
// No shell is involved: the program and its arguments are what New was given, and
// nothing of a notice becomes an argument.
//
// # What the program says
//
// It has 30 seconds. Exit status 0 takes the message; the first line of standard
// output is kept with the notice as what the receiver calls it. 64 and 65 (EX_USAGE
// and EX_DATAERR of sysexits.h) refuse this message for good. Every other status, 75
// (EX_TEMPFAIL) first of all, and death by a signal, is tried again for 24 hours. The
// last lines of standard error are in the error, up to 300 bytes of them. Arguments,
// values of WithEnv, and the parts of URLs in them are hidden in what the program
// says when they have eight bytes or more; what else it tells of its secrets is told.
//
// When its time is up it is killed, on Unix with all processes of its group. What it
// has left running when it ends by itself is left alone, and its output is read for
// two seconds more. One that cannot be killed, since it became another user as sudo
// does, is waited for no longer than that either.
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

// lastWords is how long after the end of the program what holds its output is
// waited for.
const lastWords = 2 * time.Second

// Notifier runs a program for each notice. It is made by New, safe for concurrent
// use, and has nothing to close.
type Notifier struct {
	name string
	path string // of the program, absolute
	args []string
	env  []string // instead of what is inherited; nil is none given
	kept []string // names of variables that are not inherited
	dir  string

	hidden *strings.Replacer // what is not to be in errors
}

// Option changes what New makes.
type Option func(*Notifier) error

// WithName says what the notifier is called in logs, in answers and in the storage,
// instead of "command".
func WithName(name string) Option {
	return func(n *Notifier) error {
		if name == "" {
			return invalid("name", "is empty")
		}
		n.name = name
		return nil
	}
}

// WithEnv gives the program this environment, texts of the form "key=value", instead
// of that of this process. What LaneSwap says of the notice comes on top. The
// values may be secrets: no error repeats them.
func WithEnv(env ...string) Option {
	return func(n *Notifier) error {
		for _, entry := range env {
			if key, _, ok := strings.Cut(entry, "="); !ok || key == "" || strings.Contains(entry, "\x00") {
				return invalid("environment", "holds what is not key=value")
			}
		}
		n.env = append([]string{}, env...)
		return nil
	}
}

// WithoutEnv keeps variables of this process from the program, by their names: those
// that hold secrets of others.
func WithoutEnv(names ...string) Option {
	return func(n *Notifier) error {
		n.kept = append(n.kept, names...)
		return nil
	}
}

// WithDir runs the program in a folder, which must be there, instead of where this
// process runs. The name of the program does not depend on it.
func WithDir(dir string) Option {
	return func(n *Notifier) error {
		abs, err := filepath.Abs(dir)
		if err != nil || dir == "" {
			return invalid("folder", "cannot be used")
		}
		if info, err := os.Stat(abs); err != nil {
			return invalid("folder", "cannot be used: "+reason(err))
		} else if !info.IsDir() {
			return invalid("folder", "is not a folder")
		}
		n.dir = abs
		return nil
	}
}

// New makes a Notifier that runs a program, argv[0], with the arguments behind it.
// The program is looked up now, in PATH when its name has no slash, and must be
// there and executable; nothing is run. The error matches laneswap.ErrInvalidOption
// and names the program, never an argument.
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
		path, err = filepath.Abs(path) // its folder may be another one by then
	}
	if err != nil {
		return nil, invalid("program", fmt.Sprintf("%q cannot be run: %s", text.Cut(argv[0], 300), lookupTrouble(err)))
	}
	n.path = path
	n.hidden = hiding(n.args[1:], n.env)
	return n, nil
}

// lookupTrouble is why a program cannot be run, without its name.
func lookupTrouble(err error) string {
	if errors.Is(err, exec.ErrDot) {
		return "it is in the current folder, which PATH names: write ./ before its name"
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

// Name is what the notifier is called in logs and answers: "command", or what
// WithName says.
func (n *Notifier) Name() string { return n.name }

// Format writes which notifier it is and its program, whatever the verb: the
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
		return laneswap.Refused(errors.New("the message cannot be written as JSON"))
	}
	var stdout firstLine
	var stderr lastLines
	killed := false // written by Wait's goroutine, read when that has returned
	cmd := exec.CommandContext(ctx, n.path, n.args[1:]...)
	cmd.Args[0] = n.args[0] // as it was called
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &stdout, &stderr
	cmd.Env, cmd.Dir = n.environ(note), n.dir
	cmd.WaitDelay = lastWords
	group(cmd)
	cmd.Cancel = func() error {
		err := kill(cmd)
		killed = err == nil
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("the program cannot be run: %s", reason(err))
	}
	if !ended(ctx, cmd, lastWords+time.Second) { // exec closes its output after lastWords
		return fmt.Errorf("the program could not be killed, and goes on: %w", ctx.Err())
	}
	code := cmd.ProcessState.ExitCode()
	switch {
	case code == 0:
		// Also when something that it left behind held its output for too long.
		if line := stdout.String(); line != "" {
			note.Receipt(n.hidden.Replace(line))
		}
		return nil
	case killed:
		return fmt.Errorf("the program was killed: %w", n.say(ctx.Err(), stderr.String()))
	case code == exitUsage || code == exitDataErr:
		return laneswap.Refused(n.say(fmt.Errorf("the program ended with exit status %d, which refuses the message", code), stderr.String()))
	case code < 0:
		return n.say(fmt.Errorf("the program ended by %s", cmd.ProcessState), stderr.String())
	}
	return n.say(fmt.Errorf("the program ended with exit status %d", code), stderr.String())
}

// ended waits for the program. It returns false when the program still runs grace after
// ctx has ended.
func ended(ctx context.Context, cmd *exec.Cmd, grace time.Duration) bool {
	done := make(chan struct{})
	go func() { // ends with the program
		defer close(done)
		_ = cmd.Wait() // its state says what came of it
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

// say adds what the program said last, without what it was told in confidence.
func (n *Notifier) say(err error, last string) error {
	last = text.Cut(laneswap.Sanitize(n.hidden.Replace(last)), maxLast)
	if strings.TrimSpace(last) == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, last)
}
