package command_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/command"
	"github.com/laneswap/laneswap/adapters/notifiertest"
)

// environOf runs a program for a message and returns its environment.
func environOf(t *testing.T, note laneswap.Notification, opts ...command.Option) (env map[string]string, dir string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "environ")
	n, err := command.New(self(t, "environ", file), opts...)
	require.NoError(t, err)
	dir, err = laneswap.Send(t.Context(), n, note)
	require.NoError(t, err)
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	require.True(t, utf8.Valid(data))
	env = map[string]string{}
	for entry := range strings.SplitSeq(string(data), "\x00") {
		key, value, _ := strings.Cut(entry, "=")
		require.NotContains(t, env, key, "each is there once")
		env[key] = value
	}
	return env, dir
}

// ours are the variables of LaneSwap without their prefix.
func ours(env map[string]string) map[string]string {
	out := map[string]string{}
	for key, value := range env {
		if name, ok := strings.CutPrefix(key, "LANESWAP_"); ok {
			out[name] = value
		}
	}
	return out
}

func TestNotify_tellsScriptsWhatHappened(t *testing.T) {
	t.Parallel()
	notes := notifiertest.Notifications(now)
	env, _ := environOf(t, notes[1])
	require.Equal(t, map[string]string{
		"NOTICE_ID": "n-2", "KIND": "event", "TITLE": "nightly import is error", "TEXT": notes[1].Text, "LEVEL": "error", "ITEMS": "1",
		"SERVICE": "import", "NAME": "nightly import", "EVENT": "down", "EVENT_ID": "import/4/1", "STATUS": "error", "PREVIOUS_STATUS": "healthy",
		"MESSAGE": notes[1].Event.Message, "INCIDENT": "import/4", "ATTEMPT": "1",
	}, ours(env))

	env, _ = environOf(t, notes[9])
	require.Equal(t, "12", env["LANESWAP_ITEMS"])
	require.Equal(t, notes[9].Text, env["LANESWAP_TEXT"], "with its lines")
	require.Equal(t, "error", env["LANESWAP_LEVEL"])

	quiet := notes[4] // a recovery, to which something loud is added
	quiet.Items = append([]laneswap.Item{quiet.Items[0]}, notes[2].Items[0])
	env, _ = environOf(t, quiet)
	require.Equal(t, "error", env["LANESWAP_LEVEL"], "of all items the loudest")

	env, _ = environOf(t, laneswap.Notification{Items: []laneswap.Item{{}}})
	require.Len(t, ours(env), 15, "all are set, to nothing")
}

func TestNotify_keepsLaneSwapsOwnSettingsToItself(t *testing.T) {
	t.Setenv("LANESWAP_MONGODB_URI", "mongodb://canary:canary@db/")
	t.Setenv("LANESWAP_DISCORD_WEBHOOK", "https://discord.com/api/webhooks/1/canary")
	t.Setenv("laneswap_webhook_secret", "canary")
	t.Setenv("LANESWAP_TITLE", "canary")
	t.Setenv("PAGER_TOKEN", "of the program")
	t.Setenv("OPS_WEBHOOK", "canary")
	env, _ := environOf(t, notifiertest.Notifications(now)[0], command.WithoutEnv("OPS_WEBHOOK"), command.WithoutEnv("OTHER"))
	for key, value := range env {
		require.NotContains(t, value, "canary", key)
	}
	require.Len(t, ours(env), 15)
	require.NotContains(t, env, "laneswap_webhook_secret")
	require.Equal(t, "of the program", env["PAGER_TOKEN"], "the rest is what this process has")
	require.Equal(t, os.Getenv("PATH"), env["PATH"])
}

func TestNotify_setsEnvironmentAndDirectory(t *testing.T) {
	t.Setenv("PAGER_TOKEN", "inherited")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	env, wd := environOf(t, notifiertest.Notifications(now)[0], command.WithEnv(bare("A=1", "B=x=y", "LANESWAP_KIND=forged")...), command.WithDir(dir))
	require.Equal(t, "1", env["A"])
	require.Equal(t, "x=y", env["B"])
	require.Equal(t, "event", env["LANESWAP_KIND"])
	require.Equal(t, dir, env["PWD"])
	require.Equal(t, dir, wd)
	require.NotContains(t, env, "PAGER_TOKEN")
	require.NotContains(t, env, "PATH")

	env, _ = environOf(t, notifiertest.Notifications(now)[0], command.WithEnv())
	require.NotContains(t, env, "PAGER_TOKEN", "an empty one is one")
}

func TestNotify_cutsAndCleansWhatServicesSay(t *testing.T) {
	t.Parallel()
	note := notifiertest.Notifications(now)[1]
	note.Event.Message = strings.Repeat("語", 50_000)
	note.Event.Name = "a\x00b\n\x1b[31mc\u202ed\xff"
	note.Text = "one\x00\n\x1b[31mtwo\r\n" + strings.Repeat("\U0001F525", 50_000)
	env, _ := environOf(t, note)
	require.Equal(t, strings.Repeat("語", 341), env["LANESWAP_MESSAGE"])
	require.Equal(t, "ab [31mcd", env["LANESWAP_NAME"])
	require.True(t, strings.HasPrefix(env["LANESWAP_TEXT"], "one\n[31mtwo\n\U0001F525"))
	require.LessOrEqual(t, len(env["LANESWAP_TEXT"]), 8<<10)
}
