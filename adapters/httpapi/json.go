package httpapi

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/laneswap/laneswap"
)

// maxJSONDepth bounds the nesting of a body. The metadata of a heartbeat may be
// nested 16 deep, so what is legal is refused by the root with its field named.
const maxJSONDepth = 32

// parser reads JSON as RFC 8259 has it and I-JSON (RFC 7493) tightens it:
// invalid UTF-8, lone surrogates, duplicate keys and numbers beyond float64 are
// refused, which encoding/json would repair in silence.
//
// Syntax errors end the parsing. What is only not allowed becomes the flaw, and
// the parsing goes on, so that one bad item does not spoil the others of a list.
//
// A dry parser only finds out where values end and whether their syntax is right:
// it builds nothing and looks for no flaws, whatever the body holds.
type parser struct {
	data []byte
	pos  int
	path []step
	flaw error
	dry  bool
}

// step is an index, or a key, as it is written, when the index is negative.
type step struct {
	key   []byte
	index int
}

// parseJSON returns the one value that data holds: nil, bool, float64, string,
// []any or map[string]any. The error says where it is wrong, and under which
// field.
func parseJSON(data []byte) (any, error) {
	p := parser{data: data}
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if p.next(); p.pos < len(p.data) {
		return nil, p.unexpected("the end")
	}
	return v, p.flaw
}

// next skips white space and returns the byte behind it, 0 at the end.
func (p *parser) next() byte {
	for ; p.pos < len(p.data); p.pos++ {
		switch c := p.data[p.pos]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

func (p *parser) value(depth int) (any, error) {
	if depth > maxJSONDepth {
		return nil, badRequest("%s is nested deeper than %d levels", p.where(), maxJSONDepth)
	}
	switch c := p.next(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		return p.text()
	case c == '-', '0' <= c && c <= '9':
		return p.number()
	}
	for _, literal := range [...]struct {
		text  string
		value any
	}{{"null", nil}, {"true", true}, {"false", false}} {
		if n := len(literal.text); len(p.data)-p.pos >= n && string(p.data[p.pos:p.pos+n]) == literal.text {
			p.pos += n
			return literal.value, nil
		}
	}
	return nil, p.unexpected("a value")
}

func (p *parser) object(depth int) (any, error) {
	p.pos++
	var out map[string]any
	if !p.dry {
		out = map[string]any{}
	}
	if p.next() == '}' {
		p.pos++
		return out, nil
	}
	for {
		if p.next() != '"' {
			return nil, p.unexpected("a key in quotes")
		}
		begin := p.pos + 1
		key, err := p.text()
		if err != nil {
			return nil, err
		}
		p.path = append(p.path, step{p.data[begin : p.pos-1], -1})
		if _, twice := out[key]; twice {
			p.blame("%s is given twice", p.where())
		}
		if p.next() != ':' {
			return nil, p.unexpected(`":"`)
		}
		p.pos++
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if !p.dry {
			out[key] = v
		}
		end := p.next()
		if end != ',' && end != '}' {
			return nil, p.unexpected(`"," or "}"`) // still under the key before it
		}
		p.pos++
		p.path = p.path[:len(p.path)-1]
		if end == '}' {
			return out, nil
		}
	}
}

func (p *parser) array(depth int) (any, error) {
	if p.dry {
		return nil, p.elements(func() error {
			_, err := p.value(depth + 1)
			return err
		})
	}
	out := []any{}
	err := p.elements(func() error {
		v, err := p.value(depth + 1)
		out = append(out, v)
		return err
	})
	return out, err
}

// elements calls each at the beginning of every element of an array.
func (p *parser) elements(each func() error) error {
	p.pos++
	if p.next() == ']' {
		p.pos++
		return nil
	}
	for i := 0; ; i++ {
		p.path = append(p.path, step{index: i})
		if err := each(); err != nil {
			return err
		}
		end := p.next()
		if end != ',' && end != ']' {
			return p.unexpected(`"," or "]"`)
		}
		p.pos++
		p.path = p.path[:len(p.path)-1]
		if end == ']' {
			return nil
		}
	}
}

func (p *parser) text() (string, error) {
	p.pos++
	begin, plain := p.pos, true
	for ; p.pos < len(p.data); p.pos++ {
		switch c := p.data[p.pos]; {
		case c == '"':
			raw := p.data[begin:p.pos]
			p.pos++
			switch {
			case !plain:
				return p.unescape(raw)
			case p.dry:
				return "", nil
			}
			p.checkUTF8(raw)
			return string(raw), nil
		case c == '\\':
			plain = false
			p.pos++ // what follows is looked at by unescape, but cannot end the string
		case c < ' ':
			return "", p.unexpected("no control character in a string")
		}
	}
	p.pos = len(p.data)
	return "", p.unexpected("the closing quote of a string")
}

func (p *parser) checkUTF8(raw []byte) {
	if !utf8.Valid(raw) {
		p.blame("%s is not valid UTF-8", p.where())
	}
}

// unescape is given a string in which every backslash is followed by a byte.
func (p *parser) unescape(raw []byte) (string, error) {
	var out []byte
	if !p.dry {
		p.checkUTF8(raw)
		out = make([]byte, 0, len(raw))
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			if !p.dry {
				out = append(out, raw[i])
			}
			continue
		}
		i++
		if raw[i] == 'u' {
			r, n := unicodeEscape(raw[i-1:])
			switch {
			case n == 0:
				return "", badRequest("%s is not JSON: \\u must be followed by four hexadecimal digits", p.where())
			case p.dry:
			case r == utf8.RuneError && n == 6 && !strings.EqualFold(string(raw[i+1:i+5]), "fffd"):
				p.blame("%s holds half of a surrogate pair", p.where())
			}
			if i += n - 2; !p.dry {
				out = utf8.AppendRune(out, r)
			}
			continue
		}
		at := strings.IndexByte(`"\/bfnrt`, raw[i])
		if at < 0 {
			return "", badRequest("%s is not JSON: unknown escape \\%s", p.where(), quoteByte(raw[i]))
		}
		if !p.dry {
			out = append(out, "\"\\/\b\f\n\r\t"[at])
		}
	}
	return string(out), nil
}

// unicodeEscape decodes the \uXXXX, or the pair of them, that s begins with, and
// returns how many bytes it took: 0 when it is none.
func unicodeEscape(s []byte) (rune, int) {
	r := hexEscape(s)
	if r < 0 {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if low := hexEscape(s[6:]); low >= 0 {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, 6
}

func hexEscape(s []byte) rune {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(s[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

func (p *parser) number() (any, error) {
	begin := p.pos
	if p.data[p.pos] == '-' {
		p.pos++
	}
	leadingZero := p.at('0')
	if n := p.digits(); n == 0 || leadingZero && n > 1 {
		return nil, p.notANumber(begin)
	}
	if p.at('.') {
		p.pos++
		if p.digits() == 0 {
			return nil, p.notANumber(begin)
		}
	}
	if p.at('e') || p.at('E') {
		p.pos++
		if p.at('+') || p.at('-') {
			p.pos++
		}
		if p.digits() == 0 {
			return nil, p.notANumber(begin)
		}
	}
	if p.dry {
		return nil, nil
	}
	text := string(p.data[begin:p.pos])
	f, err := strconv.ParseFloat(text, 64)
	if errors.Is(err, strconv.ErrRange) {
		p.blame("%s is %s, which is too large for a number", p.where(), clip(text, 40))
	}
	return f, nil
}

func (p *parser) at(c byte) bool { return p.pos < len(p.data) && p.data[p.pos] == c }

func (p *parser) digits() int {
	begin := p.pos
	for p.pos < len(p.data) && '0' <= p.data[p.pos] && p.data[p.pos] <= '9' {
		p.pos++
	}
	return p.pos - begin
}

func (p *parser) notANumber(begin int) error {
	return badRequest("%s is not JSON: malformed number at byte %d", p.where(), begin)
}

func (p *parser) unexpected(want string) error {
	if p.pos >= len(p.data) {
		return badRequest("%s is not JSON: it ends where %s was expected", p.where(), want)
	}
	return badRequest("%s is not JSON: %s at byte %d where %s was expected", p.where(), quoteByte(p.data[p.pos]), p.pos, want)
}

// blame keeps the first flaw.
func (p *parser) blame(format string, args ...any) {
	if p.flaw == nil {
		p.flaw = badRequest(format, args...)
	}
}

// where names the field that is being parsed. Keys are untrusted text.
func (p *parser) where() string {
	var b strings.Builder
	for _, s := range p.path {
		switch {
		case s.index >= 0:
			fmt.Fprintf(&b, "[%d]", s.index)
		case b.Len() == 0:
			b.WriteString(s.name())
		default:
			b.WriteString("." + s.name())
		}
		if b.Len() > 120 {
			break
		}
	}
	if b.Len() == 0 {
		return "the body"
	}
	return clip(b.String(), 120)
}

// name is the key, for people.
func (s step) name() string {
	key, err := new(parser).unescape(s.key)
	if err != nil {
		key = string(s.key)
	}
	return clip(key, 40)
}

// quoteByte shows a byte of a body that may be anything.
func quoteByte(c byte) string {
	if c >= utf8.RuneSelf {
		return fmt.Sprintf("byte 0x%02x", c)
	}
	return strconv.QuoteRune(rune(c))
}

// clip makes untrusted text fit for an error: one clean line of at most n bytes.
func clip(s string, n int) string {
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n] + "..."
	}
	return laneswap.Sanitize(s)
}
