package command

import (
	"errors"

	"github.com/laneswap/laneswap"
)

// Said is the text of an error behind which a program said something, in pieces.
func Said(args, env []string, pieces ...[]byte) string {
	var stderr lastLines
	for _, p := range pieces {
		_, _ = stderr.Write(p)
	}
	return (&Notifier{hidden: hiding(args, env)}).withOutput(errors.New("failed"), stderr.String()).Error()
}

// Ended waits for a program until its time is up, and a little longer.
var Ended = ended

// FirstLine is the receipt of what a program wrote, in pieces.
func FirstLine(pieces ...[]byte) string {
	var stdout firstLine
	for _, p := range pieces {
		_, _ = stdout.Write(p)
	}
	return stdout.String()
}

// Environ is the environment of a program that inherits nothing.
func Environ(note laneswap.Notification) []string { return (&Notifier{env: []string{}}).environ(note) }
