package httpapi

import (
	"errors"
	"time"

	"github.com/laneswap/laneswap"
)

// fields takes the members of a JSON object out by name, exactly as written, and
// by type. null means absent. It keeps the first error, so that callers look
// once, at the end.
type fields struct {
	values map[string]any
	kind   error // the sentinel of values that are out of range
	err    error
}

// parseObject returns the fields of the object that data holds.
func parseObject(data []byte, kind error) (*fields, error) {
	v, err := parseJSON(data)
	if err != nil {
		return nil, err
	}
	return asObject(v, "the body", kind)
}

func asObject(v any, what string, kind error) (*fields, error) {
	values, ok := v.(map[string]any)
	if !ok {
		return nil, badRequest("%s must be an object, got %s", what, typeName(v))
	}
	return &fields{values: values, kind: kind}, nil
}

// fail keeps the first error.
func (f *fields) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

func (f *fields) wrongType(key, want string, v any) {
	f.fail(badRequest("%s must be %s, got %s", key, want, typeName(v)))
}

func (f *fields) text(key string) string {
	switch v := f.values[key].(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		f.wrongType(key, "a string", v)
		return ""
	}
}

func (f *fields) flag(key string) bool {
	switch v := f.values[key].(type) {
	case nil:
		return false
	case bool:
		return v
	default:
		f.wrongType(key, "true or false", v)
		return false
	}
}

// seconds takes a duration; or says what else it may be when it is not a number.
func (f *fields) seconds(key, want string) time.Duration {
	switch v := f.values[key].(type) {
	case nil:
		return 0
	case float64:
		d, err := seconds(key, v, f.kind)
		if err != nil {
			f.fail(err)
		}
		return d
	default:
		f.wrongType(key, want, v)
		return 0
	}
}

func (f *fields) object(key string) map[string]any {
	switch v := f.values[key].(type) {
	case nil:
		return nil
	case map[string]any:
		return v
	default:
		f.wrongType(key, "an object", v)
		return nil
	}
}

func (f *fields) texts(key string) []string {
	switch v := f.values[key].(type) {
	case nil:
		return nil
	case []any:
		out := make([]string, 0, len(v))
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				f.wrongType(key, "a list of strings", e)
				return nil
			}
			out = append(out, s)
		}
		return out
	default:
		f.wrongType(key, "a list of strings", v)
		return nil
	}
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

// typeName says what a decoded value is, for people.
func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case float64:
		return "a number"
	case string:
		return "a string"
	case []any:
		return "a list"
	}
	return "an object"
}
