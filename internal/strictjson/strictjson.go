// Package strictjson reads JSON as I-JSON (RFC 7493) restricts it. It refuses
// what encoding/json repairs silently: duplicate keys, invalid UTF-8, unpaired
// surrogates, numbers beyond float64 and data after the end.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/laneswap/laneswap/internal/text"
)

// MaxDepth is how many objects and arrays may be nested.
const MaxDepth = 32

// Error says what is wrong with a text, and where.
type Error struct {
	// Path names the value, such as "metadata.cpu[0]", and is empty for the whole
	// text. It is short and clean, but holds keys of the text.
	Path string
	// Problem continues a sentence that Path begins. It quotes at most one
	// character of the text.
	Problem string
	// Offset counts the bytes up to the problem; Syntax says that the text is not
	// JSON at all.
	Offset int
	Syntax bool
}

// Error returns the sentence.
func (e *Error) Error() string {
	where := e.Path
	if where == "" {
		where = "the text"
	}
	return where + " " + e.Problem
}

// Parse returns the one value that data holds: nil, bool, float64, string, []any
// or map[string]any. Paths in errors begin with under.
//
// Every error is an *Error. Unless it is a syntax error or too much depth, the
// value comes with it: the parts of it that are right may be used to identify it.
func Parse(data []byte, under string) (any, error) {
	if !json.Valid(data) {
		return nil, syntax(data, under)
	}
	r := reader{data: data, under: under, build: true}
	v, err := r.value()
	switch {
	case err != nil:
		return nil, err
	case r.flaw != nil:
		return v, r.flaw
	}
	return v, nil
}

// Check returns an error when data is not JSON. It builds no values.
func Check(data []byte) error {
	if json.Valid(data) {
		return nil
	}
	return syntax(data, "")
}

// syntax says why data is not JSON. The path is that of the value at which the
// part before the problem stops.
func syntax(data []byte, under string) error {
	var whole json.RawMessage
	var bad *json.SyntaxError
	if !errors.As(json.Unmarshal(data, &whole), &bad) {
		return &Error{Path: under, Problem: "is not JSON", Syntax: true}
	}
	r := reader{data: data, under: under}
	if bad.Error() != "unexpected end of JSON input" {
		r.data = data[:bad.Offset-1]
	}
	if _, err := r.value(); errors.As(err, new(*Error)) {
		return err
	}
	e := r.problem("is not JSON: %s", text.Clip(bad.Error(), 120))
	e.Offset, e.Syntax = int(bad.Offset), true
	return e
}

// Elements returns the elements of an array that Check accepts, as parts of data.
func Elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		begin, depth, quoted := 0, 0, false
		for i := 0; i < len(array); i++ {
			switch c := array[i]; {
			case quoted && c == '\\':
				i++
			case c == '"':
				quoted = !quoted
			case quoted:
			case c == '[' || c == '{':
				if depth++; depth == 1 {
					begin = i + 1
				}
			case depth == 1 && (c == ',' || c == ']'):
				if e := bytes.TrimSpace(array[begin:i]); len(e) > 0 && !yield(e) {
					return
				}
				begin = i + 1
			case c == ']' || c == '}':
				depth--
			}
		}
	}
}

// reader walks through a text that encoding/json accepts, or through the
// beginning of one.
type reader struct {
	data  []byte
	pos   int
	under string
	path  []step
	build bool   // values and not only the path
	flaw  *Error // the first problem that does not stop the reader
}

// step is an index, or a key when the index is negative.
type step struct {
	key   string
	index int
}

// errEnd stops the reader at the end of a text that is not whole.
var errEnd = errors.New("the text ends")

// next skips white space and returns the byte behind it, 0 at the end.
func (r *reader) next() byte {
	for ; r.pos < len(r.data); r.pos++ {
		if c := r.data[r.pos]; c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c
		}
	}
	return 0
}

// value reads the next value.
func (r *reader) value() (any, error) {
	if len(r.path) > MaxDepth {
		return nil, r.problem("is nested deeper than %d levels", MaxDepth)
	}
	switch r.next() {
	case 0:
		return nil, errEnd
	case '{':
		return r.object()
	case '[':
		return r.array()
	case '"':
		raw, err := r.quoted()
		if err != nil {
			return nil, err
		}
		s, problem := decode(raw)
		r.note(problem)
		return s, nil
	}
	begin := r.pos
	for r.pos < len(r.data) && !strings.ContainsRune(" \t\r\n,]}", rune(r.data[r.pos])) {
		r.pos++
	}
	switch word := string(r.data[begin:r.pos]); word[0] {
	case 'n':
		return nil, nil
	case 't', 'f':
		return word == "true", nil
	default:
		f, err := strconv.ParseFloat(word, 64)
		if err != nil {
			r.note("is a number too large for a float64")
		}
		return f, nil
	}
}

// object reads an object. Its path stays at a value until the comma or the
// bracket behind it.
func (r *reader) object() (any, error) {
	var members map[string]any
	if r.build {
		members = map[string]any{}
	}
	r.pos++
	for r.next() == '"' {
		raw, err := r.quoted()
		if err != nil {
			return nil, err
		}
		key, problem := decode(raw)
		r.path = append(r.path, step{key, -1})
		r.note(problem)
		if _, twice := members[key]; twice {
			r.note("is given twice")
		}
		r.next()
		r.pos++ // the colon
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		if r.build {
			members[key] = v
		}
		if err := r.separator(); err != nil {
			return nil, err
		}
	}
	return members, r.end()
}

func (r *reader) array() (any, error) {
	items := []any{}
	r.pos++
	for i := 0; r.next() != ']'; i++ {
		r.path = append(r.path, step{index: i})
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		if r.build {
			items = append(items, v)
		}
		if err := r.separator(); err != nil {
			return nil, err
		}
	}
	return items, r.end()
}

// separator leaves a value: it reads the comma behind it, if there is one.
func (r *reader) separator() error {
	switch r.next() {
	case 0:
		return errEnd
	case ',':
		r.pos++
	}
	r.path = r.path[:len(r.path)-1]
	return nil
}

// end reads the bracket at the end of an object or array.
func (r *reader) end() error {
	if r.next() == 0 {
		return errEnd
	}
	r.pos++
	return nil
}

// quoted returns a string with its quotes, as it is written.
func (r *reader) quoted() ([]byte, error) {
	begin := r.pos
	for r.pos++; r.pos < len(r.data); r.pos++ {
		switch r.data[r.pos] {
		case '\\':
			r.pos++
		case '"':
			r.pos++
			return r.data[begin:r.pos], nil
		}
	}
	return nil, errEnd
}

// decode returns the text of a quoted string, and what is wrong with it.
func decode(raw []byte) (decoded, problem string) {
	valid := utf8.Valid(raw)
	if valid && bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), ""
	}
	if err := json.Unmarshal(raw, &decoded); err != nil {
		return "", "is not JSON: " + err.Error() // never: the whole text is valid
	}
	if !valid {
		return decoded, "is not valid UTF-8"
	}
	// json.Unmarshal decodes half of a surrogate pair as U+FFFD.
	escapes := strings.ToLower(strings.ReplaceAll(string(raw), `\\`, " "))
	if strings.Count(decoded, "\ufffd") > strings.Count(escapes, `\ufffd`)+strings.Count(escapes, "\ufffd") {
		problem = "has an unpaired surrogate"
	}
	return decoded, problem
}

func (r *reader) problem(format string, args ...any) *Error {
	return &Error{Path: r.where(), Problem: fmt.Sprintf(format, args...), Offset: r.pos}
}

// note keeps the first problem, if there is one.
func (r *reader) note(problem string) {
	if problem != "" && r.flaw == nil {
		r.flaw = r.problem("%s", problem)
	}
}

// where returns the path of the value that is read.
func (r *reader) where() string {
	var b strings.Builder
	b.WriteString(r.under)
	for _, s := range r.path {
		if s.index >= 0 {
			fmt.Fprintf(&b, "[%d]", s.index)
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(text.Clip(s.key, 40))
		if b.Len() > 120 {
			break
		}
	}
	return text.Clip(b.String(), 120)
}
