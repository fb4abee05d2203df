package httpapi

import (
	"cmp"
	"errors"
	"strconv"
	"time"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/strictjson"
)

// fields returns the members of a JSON object by name and type. Names match
// exactly, null means absent. It keeps the first error, so that callers check once,
// at the end.
type fields struct {
	values map[string]any
	kind   error // the sentinel for values that are out of range
	err    error
}

// parseObject returns the fields of the object that data holds.
func parseObject(data []byte, kind error) (*fields, error) {
	v, err := parseJSON(data, "")
	if err != nil {
		return nil, err
	}
	return asObject(v, "the body", kind)
}

// parseJSON reads a value; under is the path of data in the body. Unless the syntax
// is wrong, the value comes with the error: it may name the service.
func parseJSON(data []byte, under string) (any, error) {
	v, err := strictjson.Parse(data, under)
	return v, malformed(err)
}

// malformed turns an error of strictjson into a 400.
func malformed(err error) error {
	var e *strictjson.Error
	if !errors.As(err, &e) {
		return err
	}
	detail := cmp.Or(e.Path, "the body") + " " + e.Problem
	if e.Syntax {
		detail += ", at byte " + strconv.Itoa(e.Offset)
	}
	return badRequest("%s", detail)
}

func asObject(v any, what string, kind error) (*fields, error) {
	values, ok := v.(map[string]any)
	if !ok {
		return nil, badRequest("%s must be an object, got %s", what, strictjson.TypeName(v))
	}
	return &fields{values: values, kind: kind}, nil
}

// fail keeps the first error.
func (f *fields) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

func member[T any](f *fields, key, want string) T {
	v, problem := strictjson.Member[T](f.values, key, want)
	if problem != "" {
		f.fail(badRequest("%s %s", key, problem))
	}
	return v
}

func (f *fields) text(key string) string { return member[string](f, key, "a string") }

func (f *fields) flag(key string) bool { return member[bool](f, key, "true or false") }

func (f *fields) object(key string) map[string]any {
	return member[map[string]any](f, key, "an object")
}

// seconds returns a duration. want names what the member may be.
func (f *fields) seconds(key, want string) time.Duration {
	d, err := seconds(key, member[float64](f, key, want), f.kind)
	if err != nil {
		f.fail(err)
	}
	return d
}

func (f *fields) texts(key string) []string {
	const want = "a list of strings"
	items := member[[]any](f, key, want)
	if items == nil {
		return nil
	}
	out := make([]string, 0, len(items))
	for _, item := range items {
		s, ok := item.(string)
		if !ok {
			f.fail(badRequest("%s must be %s, got %s", key, want, strictjson.TypeName(item)))
			return nil
		}
		out = append(out, s)
	}
	return out
}

// seconds returns s as a duration, or a *laneswap.ValidationError for the field.
func seconds(field string, s float64, kind error) (time.Duration, error) {
	d, err := laneswap.Seconds(s)
	var invalid *laneswap.ValidationError
	switch {
	case errors.As(err, &invalid):
		return 0, &laneswap.ValidationError{Field: field, Problem: invalid.Problem, Err: kind}
	case err != nil:
		return 0, &laneswap.ValidationError{Field: field, Problem: err.Error(), Err: kind}
	case d == 0 && s > 0:
		// Rounding it to zero would make it look absent.
		return 0, &laneswap.ValidationError{Field: field, Problem: "is less than a nanosecond", Err: kind}
	}
	return d, nil
}
