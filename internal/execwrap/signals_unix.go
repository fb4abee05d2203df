//go:build unix

package execwrap

import (
	"errors"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// relayed are the signals that are sent on. SIGCHLD, SIGURG and SIGPIPE are our
// own affairs. SIGTSTP stops us as it stops anybody, and from a terminal the
// program as well: Go cannot give a signal's default action back once it was
// asked for the signal, and a shell waits for us to stop.
var relayed = []os.Signal{
	unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2,
	unix.SIGALRM, unix.SIGWINCH, unix.SIGCONT,
}

// relay receives signals for the program.
type relay struct {
	c    chan os.Signal
	pipe chan os.Signal // never read
}

func newRelay() *relay {
	r := &relay{c: make(chan os.Signal, 64), pipe: make(chan os.Signal, 1)}
	for _, s := range relayed {
		// What was ignored when we were started, as nohup does, is ignored by the
		// program too, unless we touch it.
		if !signal.Ignored(s) {
			signal.Notify(r.c, s)
		}
	}
	// Else a write to an output whose reader has gone would kill us. To ignore it
	// instead would be inherited by the program.
	if !signal.Ignored(unix.SIGPIPE) {
		signal.Notify(r.pipe, unix.SIGPIPE)
	}
	return r
}

func (r *relay) stop() {
	signal.Stop(r.c)
	signal.Stop(r.pipe)
}

// forward sends s on to p, unless p has it from the terminal. Whether a terminal
// or a process sent s is not known: Go does not hand on si_code. In the
// foreground it is taken to be the terminal, so that an INT or QUIT sent to us
// alone is lost there. To send it on late, when p still runs, would give it twice
// to every program that handles Ctrl-C and lives on, such as a shell or an
// editor: the lost signal can be sent again, the second one cannot be taken back.
func (r *relay) forward(p *os.Process, s os.Signal) {
	switch s {
	case unix.SIGINT, unix.SIGQUIT, unix.SIGWINCH:
		if !foreground() {
			_ = p.Signal(s)
		}
	default:
		// An error means that p has ended, of which we hear in a moment.
		_ = p.Signal(s)
	}
}

// foreground reports whether we are in the foreground group of our terminal,
// whose signals then reach the program without us.
func foreground() bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// ends reports whether s asks a process to end.
func ends(s os.Signal) bool {
	switch s {
	case unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM:
		return true
	}
	return false
}

// killedBy returns the signal that ended the process and its name, or 0.
func killedBy(st *os.ProcessState) (int, string) {
	ws, ok := st.Sys().(syscall.WaitStatus)
	if !ok || !ws.Signaled() {
		return 0, ""
	}
	return int(ws.Signal()), ws.Signal().String()
}

func isBrokenPipe(err error) bool {
	return errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET)
}

func isNoFormat(err error) bool { return errors.Is(err, unix.ENOEXEC) }
