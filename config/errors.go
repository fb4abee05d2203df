package config

import "strings"

// Error says which setting was refused, and why. It holds no secret.
type Error struct {
	// Env and Flag are the two names of the setting; Flag may be "".
	Env, Flag string
	// FromFlag says that the refused value came from the flag.
	FromFlag bool
	// Problem says what is wrong and names the limit.
	Problem string
}

// Error names the setting, first as it was given, and the problem.
func (e *Error) Error() string {
	switch {
	case e.Flag == "":
		return e.Env + " " + e.Problem
	case e.FromFlag:
		return "--" + e.Flag + " (" + e.Env + ") " + e.Problem
	}
	return e.Env + " (--" + e.Flag + ") " + e.Problem
}

// Errors are all settings that were refused, each once.
type Errors []*Error

// Error returns them in one line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "; ")
}

// Unwrap returns each of them.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, err := range e {
		errs[i] = err
	}
	return errs
}
