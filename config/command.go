package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/laneswap/laneswap"
)

// Command is a program and its arguments; empty, it is not set. The arguments
// may hold a token, so they are printed by no format and in no log.
type Command []string

// UnmarshalText reads a JSON array of the program and its arguments, such as
// ["/usr/local/bin/page", "--now"], or the program alone. There is no quoting to
// get wrong: a text with a space in it must be the array.
func (c *Command) UnmarshalText(text []byte) error {
	*c = nil
	s := strings.TrimSpace(string(text))
	if !strings.HasPrefix(s, "[") {
		if strings.ContainsFunc(s, unicode.IsSpace) {
			// Not quoted, here and below: an argument may be a token.
			return problem(`holds a space: a program with arguments must be a JSON array, such as ["/usr/local/bin/page", "--now"]`)
		}
		return c.set([]string{s})
	}
	tree, err := parseTree([]byte(s))
	if err != nil {
		return problem("is no JSON array of texts: " + err.Error())
	}
	items, _ := tree.([]any)
	argv := make([]string, 0, len(items))
	for _, item := range items {
		arg, ok := item.(string)
		if !ok {
			return problem("is no JSON array of texts")
		}
		argv = append(argv, arg)
	}
	return c.set(argv)
}

// set checks a program and its arguments.
func (c *Command) set(argv []string) error {
	if len(argv) == 0 || strings.TrimSpace(argv[0]) == "" {
		return problem("names no program")
	}
	for _, arg := range argv {
		if strings.Contains(arg, "\x00") {
			return problem("holds a zero byte")
		}
	}
	*c = argv
	return nil
}

// String returns the program, and how many arguments it has.
func (c Command) String() string {
	switch len(c) {
	case 0:
		return ""
	case 1:
		return laneswap.Sanitize(c[0])
	}
	return laneswap.Sanitize(c[0]) + " (arguments hidden: " + strconv.Itoa(len(c)-1) + ")"
}

// GoString returns what String does, quoted.
func (c Command) GoString() string { return strconv.Quote(c.String()) }

// Format prints what String returns, whatever the verb.
func (c Command) Format(f fmt.State, verb rune) {
	fmt.Fprintf(f, fmt.FormatString(f, verb), c.String())
}

// MarshalText returns what String does.
func (c Command) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
