package config

import (
	"fmt"
	"strconv"
)

// Secret is a setting that no format and no log prints. An empty Secret is not set.
type Secret string

// hidden is printed instead of a secret.
const hidden = "(hidden)"

// Reveal returns the secret.
func (s Secret) Reveal() string { return string(s) }

// String returns a placeholder, or "" when there is no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString returns the quoted result of String.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// Format prints the result of String for every verb. Without it fmt would print the
// value for verbs that do not fit a string.
func (s Secret) Format(f fmt.State, verb rune) { fmt.Fprintf(f, fmt.FormatString(f, verb), s.String()) }

// MarshalText returns the result of String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
