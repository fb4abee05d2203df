package strictjson_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/strictjson"
)

func TestParse_values(t *testing.T) {
	t.Parallel()
	got, err := strictjson.Parse([]byte(` {"a":[null,true,-1.5e1,"\u00e9\ud83d\ude00\ufffd\\ud800"],"b":{},"B":""} `), "")
	require.NoError(t, err)
	require.Equal(t, map[string]any{"a": []any{nil, true, -15.0, "é😀\ufffd\\ud800"}, "b": map[string]any{}, "B": ""}, got)
}

func TestParse_errorsNameThePath(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		``:                                "the text is not JSON: unexpected end of JSON input",
		`{"a":`:                           "a is not JSON: unexpected end of JSON input",
		`{"a":{"b":[1,NaN]}}`:             "a.b[1] is not JSON: invalid character 'N' looking for beginning of value",
		`{"a":1 "b":2}`:                   "a is not JSON: invalid character '\"' after object key:value pair",
		`{"a":1,}`:                        "the text is not JSON: invalid character '}' looking for beginning of object key string",
		`[1 2]`:                           "[0] is not JSON: invalid character '2' after array element",
		`[1,]`:                            "[1] is not JSON: invalid character ']' looking for beginning of value",
		`[[],{"a":[]]`:                    "[1].a is not JSON: invalid character ']' after object key:value pair",
		`{a:1}`:                           "the text is not JSON: invalid character 'a' looking for beginning of object key string",
		`{"a":1} {}`:                      "the text is not JSON: invalid character '{' after top-level value",
		`{"a":1,"a":2}`:                   "a is given twice",
		`{"a":{"b":1},"c":{"b":1,"b":1}}`: "c.b is given twice",
		"[\"\xff\"]":                      "[0] is not valid UTF-8",
		"{\"a\":1,\"\xff\":1}":            "\ufffd is not valid UTF-8",
		`["\ufffd\ud83d\ude00\ud800"]`:    "[0] has an unpaired surrogate",
		`["\ud800\ud800"]`:                "[0] has an unpaired surrogate",
		`{"\udc00":1}`:                    "\ufffd has an unpaired surrogate",
		`{"n":-1e400}`:                    "n is a number too large for a float64",
		strings.Repeat("[", 34):           strings.Repeat("[0]", 33) + " is nested deeper than 32 levels",
		`{"a\u001b[31m` + strings.Repeat("é", 100) + `":x}`: `a[31m` + strings.Repeat("é", 17) + "... is not JSON: invalid character 'x' looking for beginning of value",
	} {
		_, err := strictjson.Parse([]byte(data), "")
		require.EqualError(t, err, want, data)
	}
	_, err := strictjson.Parse([]byte(`{"a":[1e999]}`), "[7]")
	require.EqualError(t, err, "[7].a[0] is a number too large for a float64")
	v, err := strictjson.Parse([]byte(`{"id":"x","n":1e999,"n":2}`), "")
	require.EqualError(t, err, "n is a number too large for a float64", "the first flaw")
	require.Equal(t, "x", v.(map[string]any)["id"], "a flaw does not hide the rest")
}

func TestError_offset(t *testing.T) {
	t.Parallel()
	_, err := strictjson.Parse([]byte("{\"a\": 1,\n \"b\": x}"), "")
	var e *strictjson.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, strictjson.Error{Path: "b", Problem: "is not JSON: invalid character 'x' looking for beginning of value", Offset: 16, Syntax: true}, *e)
}

func TestElements_areTheParts(t *testing.T) {
	t.Parallel()
	for array, want := range map[string][]string{
		` [ ] `:     nil,
		`[1]`:       {"1"},
		`[ 1 ,[] ]`: {"1", "[]"},
		`[{"a":[1,2],"b":"],\""} , "\\",[[1,2],{"c":{}}]]`: {`{"a":[1,2],"b":"],\""}`, `"\\"`, `[[1,2],{"c":{}}]`},
	} {
		require.NoError(t, strictjson.Check([]byte(array)))
		var got []string
		for e := range strictjson.Elements([]byte(array)) {
			got = append(got, string(e))
		}
		require.Equal(t, want, got, array)
	}
}

// FuzzParse compares with encoding/json. Parse accepts JSON only and gives it the
// same meaning. It refuses JSON only for the reasons that it documents.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`null`, ` true `, `false`, `-0.5e-3`, `"\"\\\/\b\f\n\r\t\u20ac\uD83D\uDE00"`, `[1,[],{"a":{"b":[null]}}]`, `{"":0}`,
		`{"a":1,"a":2}`, `1e400`, `"\ud800"`, "\"\xff\"", `tru`, `nulll`, `[1 2]`, `{"a" 1}`, `-`, `1.`, `"\u12"`, `"\`, `"\ud800\u0041"`, `"\ufffd"`, `{"a":01}`, `[1,2],[3]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		array := []byte("[" + string(data) + "]")
		checked := strictjson.Check(array)
		require.Equal(t, json.Valid(array), checked == nil, "%q: %v", array, checked)
		if checked == nil {
			var want []json.RawMessage
			require.NoError(t, json.Unmarshal(array, &want))
			got := slices.Collect(strictjson.Elements(array))
			require.Len(t, got, len(want))
			for i := range want {
				require.Equal(t, string(want[i]), string(got[i]))
			}
		}
		got, err := strictjson.Parse(data, "")
		if err == nil {
			var want any
			require.NoError(t, json.Unmarshal(data, &want))
			require.Equal(t, want, got, "%q", data)
			return
		}
		var e *strictjson.Error
		require.True(t, errors.As(err, &e))
		require.Equal(t, !json.Valid(data), e.Syntax || strings.Contains(e.Problem, "deeper") && !json.Valid(data), "%q: %v", data, err)
		require.False(t, strings.Contains(e.Problem, "UTF-8") && utf8.Valid(data), "%q: %v", data, err)
		require.Less(t, len(err.Error()), 300)
	})
}
