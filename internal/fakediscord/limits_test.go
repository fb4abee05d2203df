package fakediscord_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/fakediscord"
)

func TestValidate_findsWhatDiscordRefuses(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("x", n) }
	embeds := func(n int, e map[string]any) []any {
		out := make([]any, n)
		for i := range out {
			out[i] = e
		}
		return out
	}
	field := func(name, value string) map[string]any {
		return map[string]any{"fields": []any{map[string]any{"name": name, "value": value}}}
	}
	fields := func(n int) map[string]any {
		out := make([]any, n)
		for i := range out {
			out[i] = map[string]any{"name": "n", "value": "v"}
		}
		return map[string]any{"fields": out}
	}
	for name, tc := range map[string]struct {
		set   map[string]any // nil values are left out
		wrong string         // part of the problem; "" when there is none
	}{
		"a message":                  {nil, ""},
		"nothing":                    {map[string]any{"content": nil}, "empty message"},
		"content of 2000":            {map[string]any{"content": long(2000)}, ""},
		"content of 2001":            {map[string]any{"content": long(2001)}, "content: Must be 2000"},
		"1000 surrogate pairs":       {map[string]any{"content": strings.Repeat("😀", 1000)}, ""},
		"1001 surrogate pairs":       {map[string]any{"content": strings.Repeat("😀", 1001)}, "content: Must be 2000"},
		"only spaces":                {map[string]any{"content": " \n "}, "content: This field is required"},
		"10 embeds":                  {map[string]any{"embeds": embeds(10, map[string]any{"title": "t"})}, ""},
		"11 embeds":                  {map[string]any{"embeds": embeds(11, map[string]any{"title": "t"})}, "embeds: Must be 10"},
		"an empty embed":             {map[string]any{"embeds": embeds(1, map[string]any{})}, "embeds.0: List item"},
		"an embed of colour":         {map[string]any{"embeds": embeds(1, map[string]any{"color": 1})}, "embeds.0: List item"},
		"title of 256":               {map[string]any{"embeds": embeds(1, map[string]any{"title": long(256)})}, ""},
		"title of 257":               {map[string]any{"embeds": embeds(1, map[string]any{"title": long(257)})}, "embeds.0.title"},
		"an empty title":             {map[string]any{"embeds": embeds(1, map[string]any{"title": ""})}, "embeds.0.title"},
		"description of 4096":        {map[string]any{"embeds": embeds(1, map[string]any{"description": long(4096)})}, ""},
		"description of 4097":        {map[string]any{"embeds": embeds(1, map[string]any{"description": long(4097)})}, "embeds.0.description"},
		"25 fields":                  {map[string]any{"embeds": embeds(1, fields(25))}, ""},
		"26 fields":                  {map[string]any{"embeds": embeds(1, fields(26))}, "embeds.0.fields: Must be 25"},
		"field at the limits":        {map[string]any{"embeds": embeds(1, field(long(256), long(1024)))}, ""},
		"field name of 257":          {map[string]any{"embeds": embeds(1, field(long(257), "v"))}, "embeds.0.fields.0.name"},
		"field value of 1025":        {map[string]any{"embeds": embeds(1, field("n", long(1025)))}, "embeds.0.fields.0.value"},
		"an empty field name":        {map[string]any{"embeds": embeds(1, field("", "v"))}, "embeds.0.fields.0.name"},
		"an invisible field value":   {map[string]any{"embeds": embeds(1, field("n", " \u200b"))}, "embeds.0.fields.0.value"},
		"footer of 2048":             {map[string]any{"embeds": embeds(1, map[string]any{"footer": map[string]any{"text": long(2048)}})}, ""},
		"footer of 2049":             {map[string]any{"embeds": embeds(1, map[string]any{"footer": map[string]any{"text": long(2049)}})}, "embeds.0.footer"},
		"author of 257":              {map[string]any{"embeds": embeds(1, map[string]any{"author": map[string]any{"name": long(257)}})}, "embeds.0.author"},
		"6000 over all":              {map[string]any{"embeds": embeds(2, map[string]any{"description": long(3000)})}, ""},
		"6001 over all":              {map[string]any{"embeds": append(embeds(2, map[string]any{"description": long(3000)}), map[string]any{"title": "x"})}, "exceeds maximum size of 6000"},
		"a colour":                   {map[string]any{"embeds": embeds(1, map[string]any{"title": "t", "color": 0xffffff})}, ""},
		"a colour beyond":            {map[string]any{"embeds": embeds(1, map[string]any{"title": "t", "color": 0x1000000})}, "color"},
		"a time":                     {map[string]any{"embeds": embeds(1, map[string]any{"title": "t", "timestamp": "2026-03-29T01:30:00.000Z"})}, ""},
		"no time":                    {map[string]any{"embeds": embeds(1, map[string]any{"title": "t", "timestamp": "yesterday"})}, "timestamp"},
		"a picture that is none":     {map[string]any{"embeds": embeds(1, map[string]any{"title": "t", "image": map[string]any{"url": "javascript:x"}})}, "image.url"},
		"a name of 80":               {map[string]any{"username": long(80)}, ""},
		"a name of 81":               {map[string]any{"username": long(81)}, "username"},
		"no name":                    {map[string]any{"username": ""}, "username"},
		"Clyde":                      {map[string]any{"username": "My Clyde"}, `"clyde"`},
		"Discord":                    {map[string]any{"username": "DISCORD alerts"}, `"discord"`},
		"an avatar":                  {map[string]any{"avatar_url": "https://example.org/a.png"}, ""},
		"an avatar that is none":     {map[string]any{"avatar_url": "a.png"}, "avatar_url"},
		"an unknown field":           {map[string]any{"contnet": "x"}, "unknown field"},
		"a flag that cannot be":      {map[string]any{"flags": 1}, "flags"},
		"read aloud":                 {map[string]any{"tts": true}, "tts"},
		"no allowed_mentions":        {map[string]any{"allowed_mentions": nil}, "allowed_mentions"},
		"allowed_mentions null":      {map[string]any{"allowed_mentions": map[string]any{}}, "allowed_mentions"},
		"mentions of users":          {map[string]any{"allowed_mentions": map[string]any{"parse": []string{}, "users": []string{"1"}}}, "allows mentions"},
		"everyone":                   {map[string]any{"content": "hi @everyone"}, "mentions"},
		"here, in a field":           {map[string]any{"embeds": embeds(1, field("n", "@HERE"))}, "embeds.0.fields.0.value: mentions"},
		"a user":                     {map[string]any{"content": `\<@!80351110224678912>`}, "mentions"},
		"a role":                     {map[string]any{"content": "<@&1>"}, "mentions"},
		"a channel":                  {map[string]any{"content": "<#1>"}, "mentions"},
		"a broken mention":           {map[string]any{"content": "@\u200beveryone <\u200b@1>"}, ""},
		"a masked link":              {map[string]any{"content": "[click](https://example.org)"}, "link"},
		"a link in brackets":         {map[string]any{"content": "[[x]](https://example.org)"}, "link"},
		"an escaped masked link":     {map[string]any{"content": `\[click\](https://example.org)`}, ""},
		"brackets":                   {map[string]any{"content": "[x] (y)"}, ""},
		"a link in a plain footer":   {map[string]any{"embeds": embeds(1, map[string]any{"footer": map[string]any{"text": "[a](b)"}})}, ""},
		"a link after a slash slash": {map[string]any{"content": `\\[a](b)`}, "link"},
	} {
		payload := map[string]any{"content": "hello", "allowed_mentions": map[string]any{"parse": []string{}}}
		for key, value := range tc.set {
			payload[key] = value
			if value == nil {
				delete(payload, key)
			}
		}
		body, err := json.Marshal(payload)
		require.NoError(t, err)
		problems := fakediscord.Validate("application/json", body, false)
		if tc.wrong == "" {
			require.Empty(t, problems, name)
			continue
		}
		require.NotEmpty(t, problems, name)
		require.Contains(t, problems[0].String(), tc.wrong, name)
	}
	require.NotEmpty(t, fakediscord.Validate("application/json", []byte("{\"content\":\"\xff\",\"allowed_mentions\":{\"parse\":[]}}"), false), "invalid UTF-8")
	require.NotEmpty(t, fakediscord.Validate("application/json", []byte(quiet+"{}"), false), "two messages")
	require.NotEmpty(t, fakediscord.Validate("application/json", []byte("no json"), false))
	require.Empty(t, fakediscord.Validate("application/json", []byte(`{"allowed_mentions":{"parse":[]}}`), true), "an edit may change nothing")
	require.NotEmpty(t, fakediscord.Validate("application/json", []byte(`{"username":"x","allowed_mentions":{"parse":[]}}`), true))
}

func TestServer_saysWhatIsWrongWhereItIs(t *testing.T) {
	t.Parallel()
	fake := fakediscord.New()
	defer fake.Close()
	s := newSender(t, fake.Client(), fake.Webhook())
	a := s.post(`{"allowed_mentions":{"parse":[]},"embeds":[{"title":"t","fields":[{"name":"n","value":""}]}]}`)
	require.Equal(t, 400, a.status)
	require.JSONEq(t, `{"code":50035,"message":"Invalid Form Body","errors":{"embeds":{"0":{"fields":{"0":{"value":{"_errors":[{"code":"BASE_TYPE_REQUIRED","message":"This field is required"}]}}}}}}}`, a.body)
	require.Empty(t, fake.Messages())
	require.Equal(t, "request 1: payload: embeds.0.fields.0.value: This field is required", fake.Violations()[0].String())
}
