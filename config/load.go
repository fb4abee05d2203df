package config

import (
	"errors"
	"maps"
	"reflect"
	"strings"

	"github.com/caarlos0/env/v10"
)

// loader gathers what was given and what was wrong with it.
type loader struct {
	environ map[string]string
	flags   map[string]string
	raw     map[string]string // what env parses: by variable, the flag's value where there is one
	errs    Errors
}

// flag returns the flag of a setting if it has one and it was given.
func (l *loader) flag(f Field) (value string, given bool) {
	if f.Flag == "" {
		return "", false
	}
	value, given = l.flags[f.Flag]
	return value, given
}

// take decides where the value of a setting comes from.
func (l *loader) take(f Field) {
	value, given := l.flag(f)
	value = strings.TrimSpace(value)
	switch {
	case given && value == "":
		l.refuse(f, "is empty")
	case !given:
		value = strings.TrimSpace(l.environ[f.Env])
	}
	if f.Choices != nil {
		value = strings.ToLower(value)
		if problem := f.choose(value); problem != "" {
			l.refuse(f, problem)
			return
		}
	}
	l.raw[f.Env] = value
}

// parse lets env fill in the struct, and says of its errors, which name Go's
// fields, what the user calls them.
func (l *loader) parse(c *Config) error {
	// A copy, since env adds parsers of its own to what it is given.
	err := env.ParseWithOptions(c, env.Options{Environment: l.raw, FuncMap: maps.Clone(parsers)})
	if err == nil {
		return nil
	}
	var many env.AggregateError
	if !errors.As(err, &many) {
		return err
	}
	for _, err := range many.Errors {
		var parse env.ParseError
		if !errors.As(err, &parse) {
			return err // a mistake in the tags of Config: every test would see it
		}
		for _, f := range Fields() {
			if f.name == parse.Name {
				l.refuse(f, problemOf(parse.Err)+f.bounds())
			}
		}
	}
	return nil
}

// refuse notes the first problem of a setting; none when problem is empty.
func (l *loader) refuse(f Field, problem string) {
	if problem == "" {
		return
	}
	for _, err := range l.errs {
		if err.Env == f.Env {
			return
		}
	}
	_, flag := l.flag(f)
	l.errs = append(l.errs, &Error{Env: f.Env, Flag: f.Flag, FromFlag: flag, Problem: problem})
}

// problemOf is what a parser said; what env says itself may quote the value.
func problemOf(err error) string {
	var p problem
	if errors.As(err, &p) {
		return string(p)
	}
	return "cannot be read"
}

// bounds are those of f in words, for a problem that does not name them.
func (f Field) bounds() string {
	if f.min == "" {
		return ""
	}
	return " (from " + f.min + " to " + f.max + ")"
}

// check returns what is wrong with the parsed value of f, or "".
func (f Field) check(v reflect.Value) string {
	if f.min == "" {
		return ""
	}
	parse := parsers[v.Type()]
	low, lowErr := parse(f.min)
	high, highErr := parse(f.max)
	if lowErr != nil || highErr != nil {
		return "has bounds that cannot be read: " + f.min + ", " + f.max
	}
	// Both kinds that have bounds, int and time.Duration, are integers.
	if n := v.Int(); n < reflect.ValueOf(low).Int() || n > reflect.ValueOf(high).Int() {
		return quote(v.Interface()) + ", it must be from " + f.min + " to " + f.max
	}
	return ""
}
