package notifiertest

import (
	"context"
	"fmt"
	"reflect"
	"runtime/debug"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/laneswap/laneswap"
)

// maxError bounds the text of an error, in bytes: it is logged and shown.
const maxError = 2000

// makeHTTP returns a notifier for a server.
func (r *run) makeHTTP(s *Stand) laneswap.Notifier {
	r.Helper()
	n := r.target.HTTP(r.T, s)
	if n == nil {
		r.Fatal("the target returned no notifier")
	}
	return n
}

// make returns a notifier and a function that returns everything that it has delivered.
func (r *run) make() (*Stand, laneswap.Notifier, func() string) {
	r.Helper()
	if r.target.HTTP != nil {
		s := r.newServer()
		return s, r.makeHTTP(s), s.bodies
	}
	s := r.newStand()
	n, delivered := r.target.Local(r.T, s)
	if n == nil || delivered == nil {
		r.Fatal("the target returned no notifier")
	}
	return s, n, delivered
}

// bodies returns the bodies of all requests, one after the other.
func (s *Stand) bodies() string {
	var b strings.Builder
	for _, req := range s.received() {
		b.Write(req.body)
		b.WriteByte('\n')
	}
	return b.String()
}

// called is the result of one call of Notify.
type called struct {
	err   error
	panic string
	took  time.Duration
}

// call calls Notify with a context that ends after d.
func call(ctx context.Context, d time.Duration, n laneswap.Notifier, note laneswap.Notification) called {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return callWith(ctx, n, note)
}

func callWith(ctx context.Context, n laneswap.Notifier, note laneswap.Notification) (c called) {
	began := time.Now()
	defer func() {
		c.took = time.Since(began)
		if p := recover(); p != nil {
			c.panic = fmt.Sprintf("%v\n%s", p, debug.Stack())
		}
	}()
	c.err = n.Notify(ctx, note)
	return c
}

// notify calls Notify, which must neither panic nor hang.
func (r *run) notify(n laneswap.Notifier, note laneswap.Notification) error {
	r.Helper()
	return r.finished("Notify", func() called { return call(r.Context(), r.target.Patience/2, n, note) }).err
}

// finished runs one call, which must neither panic nor hang.
func (r *run) finished(what string, do func() called) called {
	r.Helper()
	done := make(chan called, 1)
	go func() { done <- do() }()
	select {
	case c := <-done:
		if c.panic != "" {
			r.Fatalf("%s panics: %s", what, c.panic)
		}
		return c
	case <-time.After(r.target.Patience):
		r.Fatalf("%s hangs", what)
		return called{}
	}
}

// deliver calls Notify, which must return nil.
func (r *run) deliver(what string, n laneswap.Notifier, note laneswap.Notification) {
	r.Helper()
	if err := r.notify(n, note); err != nil {
		r.Fatalf("%s: %s", what, describe(err))
	}
}

// describe returns an error with its verdict, for a failure of the suite.
func describe(err error) string {
	if d, later := laneswap.RetryDelay(err); later {
		return fmt.Sprintf("%s in %v (%.300q)", Later, d, err)
	}
	if err == nil {
		return string(Delivered)
	}
	return fmt.Sprintf("%s (%.300q)", verdictOf(err), err)
}

// limit returns n, or the notifier's Burst if that is less.
func (r *run) limit(n int) int {
	if r.target.Burst > 0 {
		return min(n, r.target.Burst)
	}
	return n
}

// texts returns an error and all errors that it wraps, in every format.
func texts(err error) (out []string) {
	for _, e := range tree(err) {
		out = append(out, e.Error(), fmt.Sprintf("%v", e), fmt.Sprintf("%+v", e), fmt.Sprintf("%#v", e), fmt.Sprintf("%q", e))
		if v := reflect.ValueOf(e); v.Kind() == reflect.Pointer && !v.IsNil() {
			out = append(out, fmt.Sprintf("%+v", v.Elem()), fmt.Sprintf("%#v", v.Elem()))
		}
	}
	return out
}

// tree returns an error and all errors that it wraps.
func tree(err error) []error {
	if err == nil {
		return nil
	}
	out := []error{err}
	switch e := err.(type) { //nolint:errorlint // each level is checked by itself
	case interface{ Unwrap() error }:
		out = append(out, tree(e.Unwrap())...)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			out = append(out, tree(inner)...)
		}
	}
	return out
}

// unclean returns what is wrong with the text of an error; "" if nothing is.
func unclean(err error) string {
	text := err.Error()
	switch {
	case strings.TrimSpace(text) == "":
		return "is empty"
	case len(text) > maxError:
		return fmt.Sprintf("is %d bytes long, more than %d", len(text), maxError)
	case !utf8.ValidString(text):
		return "is not valid UTF-8"
	case strings.ContainsFunc(text, unicode.IsControl):
		return "holds control characters"
	case laneswap.Sanitize(text) != text:
		return "holds characters that change how others are shown"
	}
	return ""
}
