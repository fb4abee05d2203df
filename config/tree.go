package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep a tree may be; nothing of ours is deeper than 5.
const maxDepth = 16

// parseTree reads one value of JSON: map[string]any, []any, string, json.Number,
// bool or nil. It refuses what encoding/json lets pass in silence: a key that is
// there twice, of which the last would count, and text that is not UTF-8. Errors
// are a problem, say in which line, and quote nothing longer than a character.
func parseTree(data []byte) (any, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // as some editors begin a file
	if !utf8.Valid(data) {
		return nil, problem("it is not UTF-8")
	}
	t := tree{data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	t.dec.UseNumber()
	// Checked as a whole first: reading by tokens does not see what comes behind.
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		var syntax *json.SyntaxError
		if !errors.As(err, &syntax) {
			return nil, problem("it is not JSON")
		}
		return nil, t.problem(syntax.Offset, "it is not JSON: "+strings.TrimPrefix(syntax.Error(), "json: "))
	}
	return t.value(0)
}

// tree reads a document.
type tree struct {
	data []byte
	dec  *json.Decoder
}

func (t *tree) problem(offset int64, text string) error {
	line := 1 + bytes.Count(t.data[:min(max(offset-1, 0), int64(len(t.data)))], []byte("\n"))
	return problem(fmt.Sprintf("line %d: %s", line, text))
}

// value reads the next value.
func (t *tree) value(depth int) (any, error) {
	token, err := t.dec.Token()
	if err != nil {
		return nil, problem("it is not JSON")
	}
	if depth > maxDepth {
		return nil, t.problem(t.dec.InputOffset(), "it is nested too deeply")
	}
	switch token {
	case json.Delim('{'):
		members := map[string]any{}
		for t.dec.More() {
			key, err := t.dec.Token()
			if err != nil {
				return nil, problem("it is not JSON")
			}
			name, _ := key.(string)
			if _, double := members[name]; double {
				return nil, t.problem(t.dec.InputOffset(), "the key "+keyName(name)+" is there twice")
			}
			if members[name], err = t.value(depth + 1); err != nil {
				return nil, err
			}
		}
		_, err = t.dec.Token()
		return members, err
	case json.Delim('['):
		items := []any{}
		for t.dec.More() {
			item, err := t.value(depth + 1)
			if err != nil {
				return nil, err
			}
			items = append(items, item)
		}
		_, err = t.dec.Token()
		return items, err
	}
	return token, nil
}

// keyName is a key as it may be shown: somebody may have put a secret where a key
// belongs.
func keyName(key string) string {
	if len(key) > 32 || strings.ContainsFunc(key, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '-'
	}) {
		return "that is none of ours"
	}
	return `"` + key + `"`
}
