package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/laneswap/laneswap"
)

// Command is a program and its arguments; an empty Command is not set. The arguments
// may hold a token, so no format and no log prints them.
type Command []string

// UnmarshalText parses the path of a program, or a JSON array of a program and its
// arguments, such as ["/usr/local/bin/page", "--now"]. A text with a space must be an
// array, so that there are no rules of quoting.
func (c *Command) UnmarshalText(text []byte) error {
	*c = nil
	s := strings.TrimSpace(string(text))
	if !strings.HasPrefix(s, "[") {
		if strings.ContainsFunc(s, unicode.IsSpace) {
			// Not quoted, here and below: an argument may be a token.
			return problem(`has a space: a program with arguments must be a JSON array, such as ["/usr/local/bin/page", "--now"]`)
		}
		return c.set([]string{s})
	}
	tree, err := parseTree([]byte(s))
	if err != nil {
		return problem("must be a JSON array of strings: " + err.Error())
	}
	items, _ := tree.([]any)
	argv := make([]string, 0, len(items))
	for _, item := range items {
		arg, ok := item.(string)
		if !ok {
			return problem("must be a JSON array of strings")
		}
		argv = append(argv, arg)
	}
	return c.set(argv)
}

// set checks and stores a program and its arguments.
func (c *Command) set(argv []string) error {
	if len(argv) == 0 || strings.TrimSpace(argv[0]) == "" {
		return problem("must name a program")
	}
	for _, arg := range argv {
		if strings.Contains(arg, "\x00") {
			return problem("must not have a zero byte")
		}
	}
	*c = argv
	return nil
}

// String returns the program and the number of its arguments.
func (c Command) String() string {
	switch len(c) {
	case 0:
		return ""
	case 1:
		return laneswap.Sanitize(c[0])
	}
	return laneswap.Sanitize(c[0]) + " (arguments hidden: " + strconv.Itoa(len(c)-1) + ")"
}

// GoString returns the quoted result of String.
func (c Command) GoString() string { return strconv.Quote(c.String()) }

// Format prints the result of String for every verb.
func (c Command) Format(f fmt.State, verb rune) {
	fmt.Fprintf(f, fmt.FormatString(f, verb), c.String())
}

// MarshalText returns the result of String.
func (c Command) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
