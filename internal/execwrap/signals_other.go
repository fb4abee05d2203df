//go:build !unix

package execwrap

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// relay keeps Ctrl-C from ending the wrapper before the program. The console sends it to
// every attached process, so there is nothing to forward.
type relay struct{ c chan os.Signal }

func newRelay() *relay {
	r := &relay{c: make(chan os.Signal, 16)}
	signal.Notify(r.c, os.Interrupt, syscall.SIGTERM)
	return r
}

func (r *relay) stop() { signal.Stop(r.c) }

func (r *relay) forward(*os.Process, os.Signal) {}

func ends(os.Signal) bool { return true }

func killedBy(*os.ProcessState) (int, string) { return 0, "" }

// brokenPipes are ERROR_BROKEN_PIPE and ERROR_NO_DATA.
var brokenPipes = []error{syscall.Errno(109), syscall.Errno(232), syscall.EPIPE}

func isBrokenPipe(err error) bool {
	for _, broken := range brokenPipes {
		if errors.Is(err, broken) {
			return true
		}
	}
	return false
}

func isNoFormat(error) bool { return false }
