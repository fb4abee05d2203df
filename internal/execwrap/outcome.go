package execwrap

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/laneswap/laneswap/internal/text"
)

// Outcome describes how a program ended.
type Outcome struct {
	// Code is the exit code for the wrapper: the program's own code, 128 plus the
	// number of the signal that killed it, or 126 or 127 if it could not be started.
	Code int
	// Signal is the signal that killed the program, or "".
	Signal string
	// Tail is the last 4 KiB of the captured output.
	Tail []byte
	// Err is the error of starting the program or waiting for it.
	Err error
	// OutputErr is the error of passing on the output.
	OutputErr error
}

// Good reports whether the program ended with exit code 0.
func (o Outcome) Good() bool { return o.Code == 0 && o.Err == nil }

// Text describes in a few words how the program ended.
func (o Outcome) Text() string {
	switch {
	case o.Err != nil:
		return "cannot run: " + o.Err.Error()
	case o.Signal != "":
		return fmt.Sprintf("killed by signal %d (%s)", o.Code-128, o.Signal)
	}
	return fmt.Sprintf("exit status %d", o.Code)
}

// escapes matches terminal sequences such as colours.
var escapes = regexp.MustCompile(`\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])`)

// Message returns Text and, on further lines, as much of Tail as fits into limit bytes. It
// is valid UTF-8.
func (o Outcome) Message(limit int) string {
	first := text.Cut(strings.ToValidUTF8(o.Text(), "?"), limit)
	tail := strings.ToValidUTF8(string(o.Tail), "?")
	tail = strings.TrimRight(escapes.ReplaceAllString(tail, ""), " \t\r\n")
	room := limit - len(first) - 1
	if room <= 0 || strings.TrimSpace(tail) == "" {
		return first
	}
	return first + "\n" + text.CutStart(tail, room)
}

// outcomeOf returns the outcome after waiting for the program.
func outcomeOf(st *os.ProcessState, err error) Outcome {
	if st == nil {
		return Outcome{Code: 1, Err: err}
	}
	if n, name := killedBy(st); n != 0 {
		return Outcome{Code: 128 + n, Signal: name}
	}
	return Outcome{Code: st.ExitCode()}
}
