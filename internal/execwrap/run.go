// Package execwrap runs a real program as if nothing stood between it and its
// caller: signals, standard input, output and exit code pass through. What it
// keeps is how the program ended and the last of its output.
package execwrap

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"time"
)

// The exit codes of a program that could not be run, as shells have them.
const (
	CodeNotExecutable = 126
	CodeNotFound      = 127
)

// lastWords is how long after the program's end its output is waited for before
// the end is told. What a pipe still holds arrives in far less; only a reader
// that stands still, or a grandchild that keeps the pipe, takes longer.
const lastWords = 200 * time.Millisecond

// Command is a program to run.
type Command struct {
	// Args are the program, looked up in PATH, and its arguments.
	Args []string
	// The streams. A nil Stdin reads as empty.
	Stdin, Stdout, Stderr *os.File
	// Capture says which of the two outputs pass through a pipe of ours.
	Capture Capture
	// Ended is told of the end, once, as soon as it is known; output that
	// grandchildren write meanwhile is still copied. Run waits for it.
	Ended func(Outcome)
}

// Run starts the program and waits until it has ended, and until nobody holds
// its captured output any more, not even a grandchild: they would lose it
// otherwise. A signal that asks us to end, when it comes after the program's own
// end, ends that wait.
//
// Signals that we are sent are sent on, except those that a terminal sends to
// the whole foreground group, which the program has got already; in a terminal's
// foreground an INT or QUIT sent to us alone is taken for one of those. One who signals
// a whole group himself (systemd does, unless KillMode=mixed) signals the
// program twice.
func Run(c Command) Outcome {
	sigs := newRelay() // before the start, so that no signal kills us in between
	defer sigs.stop()
	out, err := newOutput(c)
	if err != nil {
		return c.tell(failedStart(err))
	}
	cmd, err := start(c, out)
	out.started()
	if err != nil {
		return c.tell(failedStart(err))
	}

	waited := make(chan error, 1)
	go func() { waited <- cmd.Wait() }() // ends with the program
	for running := true; running; {
		select {
		case s := <-sigs.c:
			sigs.forward(cmd.Process, s)
		case err = <-waited:
			running = false
		}
	}
	return finish(c, out, sigs, outcomeOf(cmd.ProcessState, err))
}

// finish tells of the end while the rest of the output is copied.
func finish(c Command, out *output, sigs *relay, o Outcome) Outcome {
	patience := time.NewTimer(lastWords)
	defer patience.Stop()
	select {
	case <-out.done:
	case <-patience.C:
	}
	o.Tail = out.tail.bytes()
	told := make(chan struct{})
	go func(o Outcome) { // ends when Ended returns
		defer close(told)
		c.tell(o)
	}(o)
	for copying := true; copying; {
		select {
		case <-out.done:
			o.OutputErr = out.err()
			copying = false
		case s := <-sigs.c:
			copying = !ends(s)
		}
	}
	<-told
	return o
}

func (c Command) tell(o Outcome) Outcome {
	if c.Ended != nil {
		c.Ended(o)
	}
	return o
}

// start starts the program. What has no format that the system knows is a shell
// script without its first line, as for shells.
func start(c Command, out *output) (*exec.Cmd, error) {
	cmd := command(c, out, c.Args)
	err := cmd.Start()
	if isNoFormat(err) {
		cmd = command(c, out, append([]string{"/bin/sh", cmd.Path}, c.Args[1:]...))
		err = cmd.Start()
	}
	return cmd, err
}

func command(c Command, out *output, args []string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	if errors.Is(cmd.Err, exec.ErrDot) {
		cmd.Err = nil // the user's PATH says so, and shells obey it
	}
	if c.Stdin != nil { // a nil *os.File in an interface is not nil
		cmd.Stdin = c.Stdin
	}
	cmd.Stdout, cmd.Stderr = out.stdout, out.stderr
	return cmd
}

func failedStart(err error) Outcome {
	code := CodeNotExecutable
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		code = CodeNotFound
	}
	return Outcome{Code: code, Err: err}
}
