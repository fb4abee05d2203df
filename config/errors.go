package config

import "strings"

// Error describes a refused setting. It holds no secret.
type Error struct {
	// Env and Flag are the two names of the setting; Flag may be "".
	Env, Flag string
	// FromFlag reports whether the value came from the flag.
	FromFlag bool
	// Problem describes the mistake and names the limit.
	Problem string
}

// Error names the setting and the problem. The name that the user used comes first.
func (e *Error) Error() string {
	switch {
	case e.Flag == "":
		return e.Env + " " + e.Problem
	case e.FromFlag:
		return "--" + e.Flag + " (" + e.Env + ") " + e.Problem
	}
	return e.Env + " (--" + e.Flag + ") " + e.Problem
}

// Errors lists the refused settings, each once.
type Errors []*Error

// Error returns all problems in one line.
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
