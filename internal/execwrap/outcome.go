package execwrap

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/laneswap/laneswap/internal/text"
)

// Outcome is how a program ended.
type Outcome struct {
	// Code is what we exit with: the program's own code, 128 and the number of
	// the signal that killed it, or 126 or 127 when it could not be run.
	Code int
	// Signal is the signal that killed it, "" when none did.
	Signal string
	// Tail is the last 4 KiB of the output that was captured.
	Tail []byte
	// Err says why it could not be run or waited for; else nil.
	Err error
	// OutputErr says why not all of its output could be passed on; else nil.
	OutputErr error
}

// Good reports whether the program ran and ended with 0.
func (o Outcome) Good() bool { return o.Code == 0 && o.Err == nil }

// Text says in a few words how the program ended.
func (o Outcome) Text() string {
	switch {
	case o.Err != nil:
		return "could not run: " + o.Err.Error()
	case o.Signal != "":
		return fmt.Sprintf("killed by signal %d (%s)", o.Code-128, o.Signal)
	}
	return fmt.Sprintf("exit status %d", o.Code)
}

// escapes are terminal sequences: colours and the like say nothing in a message.
var escapes = regexp.MustCompile(`\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])`)

// Message is Text and, on lines of its own, as much of the end of the output as
// fits into limit bytes. It is valid UTF-8.
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

// outcomeOf reads what waiting for the program gave.
func outcomeOf(st *os.ProcessState, err error) Outcome {
	if st == nil {
		return Outcome{Code: 1, Err: err}
	}
	if n, name := killedBy(st); n != 0 {
		return Outcome{Code: 128 + n, Signal: name}
	}
	return Outcome{Code: st.ExitCode()}
}
