package config

import (
	"fmt"
	"strconv"
)

// Secret is a setting that is printed by no format and in no log; an empty one is
// not set.
type Secret string

// hidden stands for a secret wherever it would be printed.
const hidden = "(hidden)"

// Reveal returns the secret.
func (s Secret) Reveal() string { return string(s) }

// String returns a placeholder, or nothing when there is no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString returns what String does, quoted.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// Format prints what String returns, whatever the verb: fmt prints the value
// itself for verbs that do not fit a string.
func (s Secret) Format(f fmt.State, verb rune) { fmt.Fprintf(f, fmt.FormatString(f, verb), s.String()) }

// MarshalText returns what String does.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
