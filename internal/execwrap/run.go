// Package execwrap runs a program transparently: signals, standard input, output and exit
// code pass through. It records how the program ended and the end of its output.
package execwrap

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"time"
)

// The exit codes for a program that could not be started, like those of shells.
const (
	CodeNotExecutable = 126
	CodeNotFound      = 127
)

// outputWait limits how long Run waits for remaining output before it calls Ended. Output
// in a pipe arrives much sooner, unless its reader hangs or a grandchild keeps the pipe.
const outputWait = 200 * time.Millisecond

// Command is a program to run.
type Command struct {
	// Args are the program, looked up in PATH, and its arguments.
	Args []string
	// The streams of the program. A nil Stdin is empty.
	Stdin, Stdout, Stderr *os.File
	// Capture selects the outputs that are captured.
	Capture Capture
	// Ended is called once when the program has ended, while output of grandchildren
	// may still be copied. Run waits for it.
	Ended func(Outcome)
}

// Run starts the program and waits for its end, and until all processes, also
// grandchildren, have closed its captured output. A terminating signal after the end of
// the program ends that wait.
//
// Run forwards signals, except those that a terminal sends to its whole foreground group,
// because the program gets them itself. In the foreground it treats every INT and QUIT
// like that, also one that was sent to the wrapper alone. If a sender signals the whole
// group, as systemd does without KillMode=mixed, the program gets the signal twice.
func Run(c Command) Outcome {
	sigs := newRelay() // before the start, so that no signal kills the wrapper in between
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

// finish calls Ended and waits until the rest of the output is copied.
func finish(c Command, out *output, sigs *relay, o Outcome) Outcome {
	patience := time.NewTimer(outputWait)
	defer patience.Stop()
	select {
	case <-out.done:
	case <-patience.C:
	}
	o.Tail = out.tail.bytes()
	reported := make(chan struct{})
	go func(o Outcome) { // ends when Ended returns
		defer close(reported)
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
	<-reported
	return o
}

func (c Command) tell(o Outcome) Outcome {
	if c.Ended != nil {
		c.Ended(o)
	}
	return o
}

// start starts the program. Like a shell, it runs a file without a known format as a shell
// script.
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
		cmd.Err = nil // allowed by PATH, as in shells
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
