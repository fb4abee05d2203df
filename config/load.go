package config

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v10"
)

// loader reads the settings and collects the errors.
type loader struct {
	environ map[string]string
	flags   map[string]string
	errs    Errors
}

// parse fills in c: env/v10 reads what the tags of Config say, flags win over
// variables.
func (l *loader) parse(c *Config) error {
	values := map[string]string{}
	for _, f := range Fields() {
		values[f.Env] = l.text(f)
	}
	err := env.ParseWithOptions(c, env.Options{Environment: values, FuncMap: map[reflect.Type]env.ParserFunc{
		reflect.TypeFor[bool]():          parseBool,
		reflect.TypeFor[time.Duration](): func(s string) (any, error) { return ParseDuration(s) },
	}})
	failed := map[string]error{}
	var many env.AggregateError
	errors.As(err, &many)
	for _, err := range many.Errors {
		var one env.ParseError
		if !errors.As(err, &one) {
			return err // a mistake in the tags of Config, which every test would show
		}
		failed[one.Name] = one.Err
	}
	v := reflect.ValueOf(c).Elem()
	for _, f := range Fields() {
		if err := failed[f.name]; err != nil || !f.allows(values[f.Env], v.FieldByName(f.name)) {
			l.refuse(f.Env, f.problem(values[f.Env], err))
		}
	}
	return nil
}

// text returns the value of f as the user wrote it; "" when it is not set.
func (l *loader) text(f Field) string {
	text, given := l.flags[f.Flag]
	if !given {
		text = l.environ[f.Env]
	}
	if text = strings.TrimSpace(text); text == "" && given {
		l.refuse(f.Env, "is empty")
	}
	if f.Choices != nil {
		text = strings.ToLower(text)
	}
	return text
}

// refuse records the first problem of a setting; "" is none.
func (l *loader) refuse(variable, problem string) {
	if problem == "" || slices.ContainsFunc(l.errs, func(e *Error) bool { return e.Env == variable }) {
		return
	}
	for _, f := range Fields() {
		if f.Env == variable {
			_, given := l.flags[f.Flag]
			l.errs = append(l.errs, &Error{Env: f.Env, Flag: f.Flag, FromFlag: given, Problem: problem})
		}
	}
}
