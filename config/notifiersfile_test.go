package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/config"
)

// file writes a file of notifiers.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notifiers.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestNotifiersFile_isReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	path := file(t, "\ufeff"+`{"notifiers": [
		{"name": "ops", "discord": {"webhook": "`+webhook+`", "username": "Ops", "avatar_url": "https://example.org/a.png"},
		 "levels": ["error"], "min_level": "warning", "statuses": ["stale", "CRITICAL"], "services": ["billing*"], "not_services": ["*-test", "a/b"], "tags": ["prod"]},
		{"name": "hook", "webhook": {"url": {"env": "HOOK"}, "secret": {"file": "secret"}, "private": true, "headers": {"Authorization": {"file": "`+"ABSOLUTE"+`"}, "X-Team": "a"}}},
		{"name": "pager", "command": ["/usr/local/bin/page", "--now", ""], "immediately": true}
	]}`)
	dir := filepath.Dir(path)
	absolute := filepath.Join(t.TempDir(), "authorization")
	require.NoError(t, os.WriteFile(absolute, []byte("Bearer x\r\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secret"), []byte(" hunter2 \n\n"), 0o600))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(text), "ABSOLUTE", filepath.ToSlash(absolute), 1)), 0o600))

	c, err := config.Load([]string{"LANESWAP_NOTIFIERS=" + path, "HOOK=https://hook.example.org/ "}, nil)
	require.NoError(t, err)
	require.Len(t, c.Notifiers, 3)
	ops, hook, pager := c.Notifiers[0], c.Notifiers[1], c.Notifiers[2]
	require.Equal(t, "ops", ops.Name)
	require.Equal(t, config.Discord{Webhook: webhook, Username: "Ops", AvatarURL: "https://example.org/a.png"}, ops.Discord)
	require.Equal(t, []laneswap.Level{laneswap.LevelError}, ops.Levels)
	require.Equal(t, laneswap.LevelWarning, ops.MinLevel)
	require.Equal(t, []laneswap.Status{laneswap.StatusStale, laneswap.StatusCritical}, ops.Statuses)
	require.Equal(t, []string{"billing*"}, ops.Services)
	require.Equal(t, []string{"*-test", "a/b"}, ops.NotServices)
	require.Equal(t, []string{"prod"}, ops.Tags)
	require.Equal(t, config.Webhook{
		URL: "https://hook.example.org/", Secret: " hunter2 ", Private: true,
		Headers: map[string]config.Secret{"Authorization": "Bearer x", "X-Team": "a"},
	}, hook.Webhook)
	require.Equal(t, config.Command{"/usr/local/bin/page", "--now", ""}, pager.Command)
	require.True(t, pager.Immediately)
	require.False(t, hook.Immediately)
	require.Empty(t, hook.Filters())
	require.Zero(t, hook.Discord)
	require.Zero(t, pager.Webhook)

	c, err = config.Load(nil, map[string]string{"notifiers": file(t, `{"notifiers":[]}`)})
	require.NoError(t, err)
	require.Empty(t, c.Notifiers)
}

// entries is a file of entries.
func entries(list ...string) string { return `{"notifiers":[` + strings.Join(list, ",") + `]}` }

// with is an entry that is right, and something more.
func with(more string) string { return `{"name":"ops","command":["page"],` + more + `}` }

func TestNotifiersFile_saysWhereItIsWrong(t *testing.T) {
	t.Parallel()
	const kinds = ", it must have one of them"
	for text, want := range map[string]string{
		``:                         `line 1: it is not JSON: unexpected end of JSON input`,
		"{\n\"notifiers\": [,]}":   `line 2: notifiers[0] is not JSON: invalid character ',' looking for beginning of value`,
		`{"notifiers":[]} {}`:      `line 1: it is not JSON: invalid character '{' after top-level value`,
		"{\"notifiers\":\"\xff\"}": `line 1: notifiers is not valid UTF-8`,
		strings.Repeat("[", 40) + strings.Repeat("]", 40):       `line 1: it is nested deeper than 32 levels`,
		strings.Repeat("[", 20000) + strings.Repeat("]", 20000): `line 1: it is nested deeper than 32 levels`,
		`[]`:                                             `it must be an object, such as {"notifiers": [...]}`,
		`{}`:                                             `it has no "notifiers"`,
		`{"notifiers":{}}`:                               `notifiers must be a list, got an object`,
		`{"notifiers":[],"routes":[]}`:                   `it has the unknown key "routes"`,
		`{"Notifiers":[]}`:                               `it has the unknown key "Notifiers"; it has no "notifiers"`,
		"{\"notifiers\":[],\n\"notifiers\":[]}":          `line 2: notifiers is given twice`,
		entries(`null`, `"x"`):                           `entry 1 must be an object; entry 2 must be an object`,
		entries(`{"command":["page"]}`):                  `entry 1: name is missing`,
		entries(`{"name":7,"command":["page"]}`):         `entry 1: name must be a string, got a number`,
		entries(`{"name":"","command":["page"]}`):        `entry 1: name is empty: leave it out`,
		entries(`{"name":"a b","command":["page"]}`):     `entry 1: name must be 1 to 64 letters, digits and . _ - and begin with a letter or digit`,
		entries(`{"name":"slog","command":["page"]}`):    `entry 1 (slog): name is the name of the log`,
		entries(`{"name":"Discord","command":["page"]}`): `entry 1 (Discord): name is the name of the notifier of LANESWAP_DISCORD_WEBHOOK`,
		entries(`{"name":"a","command":["page"]}`, `{"name":"A","command":["page"]}`): `entry 2 (A): name is the name of entry 1 (a)`,
		entries(`{"name":"ops"}`): `entry 1 (ops) has none of discord, webhook and command` + kinds,
		entries(`{"name":"ops","command":["page"],"discord":{"webhook":"x"}}`):            `entry 1 (ops) has discord and command` + kinds,
		entries(`{"name":"ops","discord":null}`):                                          `entry 1 (ops): discord is null: leave it out`,
		entries(`{"name":"ops","discord":"` + webhook + `"}`):                             `entry 1 (ops): discord must be an object, got a string`,
		entries(`{"name":"ops","discord":{}}`):                                            `entry 1 (ops): discord.webhook is missing`,
		entries(`{"name":"ops","discord":{"webhook":""}}`):                                `entry 1 (ops): discord.webhook is empty`,
		entries(`{"name":"ops","discord":{"webhook":null}}`):                              `entry 1 (ops): discord.webhook is null: leave it out`,
		entries(`{"name":"ops","discord":{"webhook":["` + webhook + `"]}}`):               `entry 1 (ops): discord.webhook must be a string, {"env": "NAME"} or {"file": "PATH"}`,
		entries(`{"name":"ops","discord":{"webhook":{"env":"A","file":"hunter2"}}}`):      `entry 1 (ops): discord.webhook must be a string, {"env": "NAME"} or {"file": "PATH"}`,
		entries(`{"name":"ops","discord":{"webhook":{"env":"OPS_WEBHOOK"}}}`):             `entry 1 (ops): discord.webhook needs the variable OPS_WEBHOOK, which is not set`,
		entries(`{"name":"ops","discord":{"webhook":{"env":"EMPTY"}}}`):                   `entry 1 (ops): discord.webhook needs the variable EMPTY, which is not set`,
		entries(`{"name":"ops","discord":{"webhook":{"env":"` + webhook + `"}}}`):         `entry 1 (ops): discord.webhook needs the variable that it names, which is not set`,
		entries(`{"name":"ops","discord":{"webhook":{"file":"` + webhook + `"}}}`):        `entry 1 (ops): discord.webhook names no file`,
		entries(`{"name":"ops","discord":{"webhook":{"file":"hunter2"}}}`):                `entry 1 (ops): discord.webhook cannot be read from its file: no such file or directory`,
		entries(`{"name":"ops","discord":{"webhook":{"file":"."}}}`):                      `entry 1 (ops): discord.webhook cannot be read from its file: it is not a regular file`,
		entries(`{"name":"ops","discord":{"webhook":{"file":"empty"}}}`):                  `entry 1 (ops): discord.webhook is empty in its file`,
		entries(`{"name":"ops","discord":{"webhook":{"file":"huge"}}}`):                   `entry 1 (ops): discord.webhook cannot be read from its file: it is larger than 65536 bytes`,
		entries(`{"name":"ops","discord":{"webhook":"` + webhook + `","colour":1}}`):      `entry 1 (ops): discord has the unknown key "colour"`,
		entries(`{"name":"ops","discord":{"` + webhook + `":1}}`):                         `entry 1 (ops): discord.webhook is missing; entry 1 (ops): discord has the unknown key that is none of ours`,
		entries(`{"name":"ops","discord":{"webhook":"x","username":5}}`):                  `entry 1 (ops): discord.username must be a string, got a number`,
		entries(`{"name":"ops","webhook":{}}`):                                            `entry 1 (ops): webhook.url is missing`,
		entries(`{"name":"ops","webhook":{"url":"x","private":"yes"}}`):                   `entry 1 (ops): webhook.private must be true or false, got a string`,
		entries(`{"name":"ops","webhook":{"url":"x","secret":7}}`):                        `entry 1 (ops): webhook.secret must be a string, {"env": "NAME"} or {"file": "PATH"}`,
		entries(`{"name":"ops","webhook":{"url":"x","headers":["hunter2"]}}`):             `entry 1 (ops): webhook.headers must be an object, got a list`,
		entries(`{"name":"ops","webhook":{"url":"x","headers":{"X: hunter2":"a"}}}`):      `entry 1 (ops): webhook.headers holds an invalid header name`,
		entries(`{"name":"ops","webhook":{"url":"x","headers":{"X-A":"1","x-a":"2"}}}`):   `entry 1 (ops): webhook.headers holds x-a twice: header names ignore case`,
		entries(`{"name":"ops","webhook":{"url":"x","headers":{"X-A":"hunter2\r\nY:"}}}`): `entry 1 (ops): webhook.headers.X-A holds a line break or a zero byte`,
		entries(`{"name":"ops","webhook":{"url":"x","headers":{"X-A":{"env":"NONE"}}}}`):  `entry 1 (ops): webhook.headers.X-A needs the variable NONE, which is not set`,
		entries(`{"name":"ops","command":"page --token hunter2"}`):                        `entry 1 (ops): command must be a list, got a string`,
		entries(`{"name":"ops","command":[]}`):                                            `entry 1 (ops): command is empty: leave it out`,
		entries(`{"name":"ops","command":["page",7]}`):                                    `entry 1 (ops): command must be a list of strings that are not empty`,
		entries(`{"name":"ops","command":["","hunter2"]}`):                                `entry 1 (ops): command must name a program`,
		entries(with(`"levels":["loud"]`)):                                                `entry 1 (ops): levels holds "loud", it must be one of info, success, warning, error`,
		entries(with(`"levels":[]`)):                                                      `entry 1 (ops): levels is empty: leave it out`,
		entries(with(`"levels":"error"`)):                                                 `entry 1 (ops): levels must be a list, got a string`,
		entries(with(`"levels":[1]`)):                                                     `entry 1 (ops): levels must be a list of strings that are not empty`,
		entries(with(`"min_level":"Error"`)):                                              `entry 1 (ops): min_level holds "Error", it must be one of info, success, warning, error`,
		entries(with(`"statuses":["down"]`)):                                              `entry 1 (ops): statuses holds "down", which is not a status`,
		entries(with(`"services":["a["]`)):                                                `entry 1 (ops): services holds "a[", which is not a pattern`,
		entries(with(`"not_services":["` + strings.Repeat("a", 513) + `"]`)):              `entry 1 (ops): not_services holds "` + strings.Repeat("a", 40) + `...", which is not a pattern`,
		entries(with(`"tags":["` + strings.Repeat("é", 65) + `"]`)):                       `entry 1 (ops): tags holds "` + strings.Repeat("é", 40) + `...", which is longer than the 64 characters of a tag`,
		entries(with(`"tags":["a"` + strings.Repeat(`,"a"`, 100) + `]`)):                  `entry 1 (ops): tags has 101 entries, the limit is 100`,
		entries(with(`"immediately":1`)):                                                  `entry 1 (ops): immediately must be true or false, got a number`,
		entries(with(`"service":["a"]`)):                                                  `entry 1 (ops) has the unknown key "service"`,
		entries(with(`"services":["a["],"min_level":"x","tags":[""]`)): `entry 1 (ops): min_level holds "x", it must be one of info, success, warning, error; ` +
			`entry 1 (ops): services holds "a[", which is not a pattern; entry 1 (ops): tags must be a list of strings that are not empty`,
		`{"notifiers":[0` + strings.Repeat(",0", 100) + `]}`: `notifiers has 101 entries, the limit is 100`,
		`{"notifiers":[0` + strings.Repeat(",0", 14) + `]}`: `entry 1 must be an object; entry 2 must be an object; entry 3 must be an object; entry 4 must be an object; entry 5 must be an object; ` +
			`entry 6 must be an object; entry 7 must be an object; entry 8 must be an object; entry 9 must be an object; entry 10 must be an object; and 5 more`,
		`{"notifiers":[]}` + strings.Repeat(" ", 1<<20): `it is larger than 1048576 bytes`,
	} {
		path := file(t, text)
		require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), "empty"), []byte("\r\n"), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), "huge"), []byte(strings.Repeat("hunter2", 10000)), 0o600))
		_, err := config.Load([]string{"LANESWAP_NOTIFIERS=" + path, "LANESWAP_DISCORD_WEBHOOK=" + webhook, "EMPTY="}, nil)
		require.EqualError(t, err, fmt.Sprintf("LANESWAP_NOTIFIERS (--notifiers) names the file %q: %s", path, want), "%.200s", text)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestNotifiersFile_mayBeExactlyAsLargeAsTheLimit(t *testing.T) {
	t.Parallel()
	text := `{"notifiers":[]}`
	_, err := config.Load(nil, map[string]string{"notifiers": file(t, text+strings.Repeat(" ", 1<<20-len(text)))})
	require.NoError(t, err)
}

func TestNotifiersFile_mustBeAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := config.Load(nil, map[string]string{"notifiers": dir})
	require.EqualError(t, err, fmt.Sprintf("--notifiers (LANESWAP_NOTIFIERS) names the file %q: it is not a regular file", dir))
}

// FuzzNotifiersFile proves that what is read is whole, and that no secret that
// stands elsewhere is said.
func FuzzNotifiersFile(f *testing.F) {
	for _, s := range []string{
		entries(`{"name":"ops","discord":{"webhook":{"env":"TOKEN"}},"levels":["error"],"services":["a*","[a-z]"]}`),
		entries(`{"name":"hook","webhook":{"url":{"env":"TOKEN"},"secret":{"file":"x"},"private":true,"headers":{"X-A":{"env":"TOKEN"}}},"tags":["a"]}`),
		entries(`{"name":"c","command":["a",""],"not_services":["*"],"min_level":"info"}`, `{"name":"C","command":["a"],"statuses":["stale"]}`),
		`{"notifiers":null}`, `{"notifiers":[{"name":{"env":"TOKEN"}}]}`, "[[[[", `{"a":1,"a":2}`, "\ufeff{}",
	} {
		f.Add([]byte(s))
	}
	const canary = "hunter2-hunter3-hunter4"
	f.Fuzz(func(t *testing.T, data []byte) {
		notifiers, problem := config.ParseNotifiers(data, map[string]string{"TOKEN": canary})
		said := problem + fmt.Sprintf("%+v", notifiers)
		require.False(t, strings.Contains(said, canary) && !strings.Contains(string(data), canary), said)
		if problem != "" {
			require.Nil(t, notifiers)
			require.Equal(t, laneswap.Sanitize(problem), problem)
			return
		}
		names := map[string]bool{}
		options := []laneswap.Option{}
		for _, n := range notifiers {
			require.True(t, config.ValidName(n.Name), n.Name)
			require.False(t, names[strings.ToLower(n.Name)])
			names[strings.ToLower(n.Name)] = true
			kinds := 0
			for _, given := range []bool{n.Discord.Webhook != "", n.Webhook.URL != "", len(n.Command) > 0} {
				if given {
					kinds++
				}
			}
			require.Equal(t, 1, kinds, n.Name)
			options = append(options, laneswap.WithNotifier(laneswap.Only(laneswap.NotifierFunc(nil), n.Filters()...)))
		}
		// Options out of range are refused by every verb; without a notifier it works.
		_, err := laneswap.NewManager(options...).Summary(t.Context())
		require.NotErrorIs(t, err, laneswap.ErrInvalidOption)
	})
}
