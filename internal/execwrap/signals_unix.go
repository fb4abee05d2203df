//go:build unix

package execwrap

import (
	"errors"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// relayed are the signals that are forwarded. SIGCHLD, SIGURG and SIGPIPE belong to the
// wrapper. SIGTSTP keeps its default action, since a shell waits for the wrapper to stop
// and Go cannot restore that action; from a terminal it stops the program too.
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
		// A signal that was ignored at the start, as by nohup, stays ignored, also in
		// the program.
		if !signal.Ignored(s) {
			signal.Notify(r.c, s)
		}
	}
	// Otherwise a write to an output without a reader would kill the wrapper. The program
	// would inherit an ignored SIGPIPE.
	if !signal.Ignored(unix.SIGPIPE) {
		signal.Notify(r.pipe, unix.SIGPIPE)
	}
	return r
}

func (r *relay) stop() {
	signal.Stop(r.c)
	signal.Stop(r.pipe)
}

// forward sends s to p, unless p got it from the terminal. Go does not reveal whether a
// terminal or a process sent s (si_code). In the foreground forward assumes the terminal,
// so an INT or QUIT that was sent to the wrapper alone is lost. The alternative is worse:
// programs that survive Ctrl-C, such as a shell or an editor, would get it twice. A lost
// signal can be sent again; a second one cannot be undone.
func (r *relay) forward(p *os.Process, s os.Signal) {
	switch s {
	case unix.SIGINT, unix.SIGQUIT, unix.SIGWINCH:
		if !foreground() {
			_ = p.Signal(s)
		}
	default:
		// An error means that p has ended, which Run is about to see.
		_ = p.Signal(s)
	}
}

// foreground reports whether this process is in the foreground group of its terminal. The
// terminal then signals the program itself.
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
