package command

import (
	"errors"

	"github.com/laneswap/laneswap"
)

// Said returns the text of an error with the program's output, written in pieces.
func Said(args, env []string, pieces ...[]byte) string {
	var stderr lastLines
	for _, p := range pieces {
		_, _ = stderr.Write(p)
	}
	return (&Notifier{hidden: hiding(args, env)}).withOutput(errors.New("failed"), stderr.String()).Error()
}

// Ended waits for a program until a little after its context has ended.
var Ended = ended

// FirstLine returns the receipt of output that is written in pieces.
func FirstLine(pieces ...[]byte) string {
	var stdout firstLine
	for _, p := range pieces {
		_, _ = stdout.Write(p)
	}
	return stdout.String()
}

// Environ returns the environment of a program that inherits nothing.
func Environ(note laneswap.Notification) []string { return (&Notifier{env: []string{}}).environ(note) }
