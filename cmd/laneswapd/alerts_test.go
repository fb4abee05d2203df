//go:build unix

package main_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/fakediscord"
)

// alerting starts a laneswapd with these variables, in memory.
func alerting(t *testing.T, environ []string, args ...string) daemon {
	t.Helper()
	r := &rig{t: t, env: environ, args: append([]string{"--host", "127.0.0.1", "--port", "0", "--storage", "memory"}, args...)}
	r.launch()
	d := daemon{process: r.process}
	eventually(t, "the line that says where it listens", func() bool {
		m := anywhere.FindStringSubmatch(d.stderr.String())
		if m != nil {
			d.url = m[1]
		}
		return m != nil
	})
	return d
}

// discord starts a stand-in for Discord, and returns the variables that lead there.
func discord(t *testing.T) (*fakediscord.Server, []string) {
	t.Helper()
	fake := fakediscord.New()
	t.Cleanup(fake.Close)
	base, err := fake.Listen()
	require.NoError(t, err)
	return fake, []string{"LANESWAP_DISCORD_WEBHOOK=" + fake.Webhook(), "LANESWAP_DISCORD_API_BASE=" + base}
}

func TestLaneswapd_tellsDiscordWhenTheDocumentedVariableIsSet(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: this test waits for real silence and a real group wait")
	}
	fake, environ := discord(t)
	d := alerting(t, append(environ, "LANESWAP_GROUP_WAIT=1"))
	require.Contains(t, d.stderr.String(), " notifiers=discord,slog\n")

	code, body := d.do(t, http.MethodPost, "/api/services", nil, `{"service_id":"backup","service_name":"Backup","interval":0.2,"stale_after":0.5}`)
	require.Equal(t, http.StatusOK, code, body)
	code, body = d.do(t, http.MethodPost, "/api/services/backup/heartbeat", nil, `{"message":"copying"}`)
	require.Equal(t, http.StatusOK, code, body)
	eventually(t, "Discord is told that it fell silent", func() bool { return len(fake.Messages()) == 1 })
	said := fake.Messages()[0].Payload
	require.Equal(t, "LaneSwap", *said.Username)
	require.Contains(t, said.Text(), "Backup")
	require.Contains(t, said.Text(), "stale")
	incident := d.service(t, "backup").Incident
	require.NotNil(t, incident)
	require.Contains(t, said.Text(), incident.ID)

	code, body = d.do(t, http.MethodPost, "/api/services/backup/heartbeat", nil, "")
	require.Equal(t, http.StatusOK, code, body)
	d.signal(t, syscall.SIGTERM)
	require.Zero(t, d.ended(t), d.stderr)
	messages := fake.Messages()
	require.Len(t, messages, 2, "stopping delivers what is owed")
	require.Contains(t, messages[1].Payload.Text(), "recovered")
	require.Contains(t, messages[1].Payload.Text(), incident.ID)
	require.Empty(t, fake.Violations())
	require.NotContains(t, d.stderr.String(), fake.Secret())
}

func TestLaneswapd_tellsTheNotifiersOfAFileWhatTheirRoutesLetPass(t *testing.T) {
	t.Parallel()
	fake, environ := discord(t)
	dir := t.TempDir()
	told := filepath.Join(dir, "told")
	file := filepath.Join(dir, "notifiers.json")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "billing"), []byte(fake.AddWebhook("billing")+"\n"), 0o600))
	require.NoError(t, os.WriteFile(file, []byte(`{"notifiers":[
		{"name":"ops","discord":{"webhook":{"env":"OPS_WEBHOOK"},"username":"Ops"},"not_services":["billing*"],"levels":["error"]},
		{"name":"billing","discord":{"webhook":{"file":"billing"}},"services":["billing*"]},
		{"name":"pager","command":["/bin/sh","-c","cat >> \"$0\"","`+told+`"],"tags":["prod"]}]}`), 0o600))
	environ = append(environ[1:], "OPS_WEBHOOK="+fake.Webhook(), "LANESWAP_NOTIFIERS="+file, "LANESWAP_GROUP_WAIT=0")
	d := alerting(t, environ)
	require.Contains(t, d.stderr.String(), " notifiers=billing,ops,pager,slog\n")

	for _, id := range []string{"shop", "billing@web-1", "minor"} {
		code, body := d.do(t, http.MethodPost, "/api/services", nil, `{"service_id":"`+id+`","service_name":"`+id+`","tags":["`+map[bool]string{true: "prod", false: "test"}[id == "shop"]+`"]}`)
		require.Equal(t, http.StatusOK, code, body)
		status := map[bool]string{true: "warning", false: "error"}[id == "minor"]
		code, body = d.do(t, http.MethodPost, "/api/services/"+id+"/heartbeat", nil, `{"status":"`+status+`"}`)
		require.Equal(t, http.StatusOK, code, body)
	}
	d.signal(t, syscall.SIGTERM)
	require.Zero(t, d.ended(t), d.stderr)

	channels := map[string][]string{}
	for _, m := range fake.Messages() {
		channels[m.Channel] = append(channels[m.Channel], *m.Payload.Username+": "+m.Payload.Text())
	}
	require.Len(t, channels["alerts"], 1, "%v", channels)
	require.Contains(t, channels["alerts"][0], "Ops: ")
	require.Contains(t, channels["alerts"][0], "shop")
	require.Len(t, channels["billing"], 1, "%v", channels)
	require.Contains(t, channels["billing"][0], "LaneSwap: ")
	require.Contains(t, channels["billing"][0], "billing@web")
	text, err := os.ReadFile(told)
	require.NoError(t, err)
	require.Contains(t, string(text), "shop")
	require.NotContains(t, string(text), "billing")
	require.NotContains(t, string(text), "minor")
	require.Empty(t, fake.Violations())
}

func TestLaneswapd_saysWhichNotifierItCannotUse(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "notifiers.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"notifiers":[{"name":"ops","discord":{"webhook":"https://discord.com/hunter2","color":1}}]}`), 0o600))
	for _, tc := range []struct {
		variable string
		code     int
		want     string
	}{
		{"LANESWAP_DISCORD_WEBHOOK=https://example.org/api/webhooks/1/hunter2", 2, "laneswapd: cannot use LANESWAP_DISCORD_WEBHOOK: "},
		{"LANESWAP_DISCORD_WEBHOOK=hunter2", 2, "laneswapd: cannot use LANESWAP_DISCORD_WEBHOOK: "},
		{"LANESWAP_WEBHOOK_URL=ftp://hunter2.example.org/", 2, "laneswapd: cannot use LANESWAP_WEBHOOK_URL: "},
		{"LANESWAP_COMMAND=page --token hunter2", 2, "laneswapd: LANESWAP_COMMAND has a space: "},
		{"LANESWAP_NOTIFIERS=" + file, 2, "laneswapd: LANESWAP_NOTIFIERS (--notifiers) names the file \"" + file + "\": entry 1 (ops): discord has the unknown key \"color\"\n"},
	} {
		r := &rig{t: t, env: []string{tc.variable}, args: []string{"--storage", "memory", "--host", "127.0.0.1", "--port", "0"}}
		begun := time.Now()
		r.launch()
		require.Equal(t, tc.code, r.ended(t), tc.variable)
		require.Less(t, time.Since(begun), 10*time.Second)
		require.True(t, strings.HasPrefix(r.stderr.String(), tc.want), r.stderr)
		require.NotContains(t, r.stderr.String(), "hunter2")
		require.Equal(t, 1, strings.Count(r.stderr.String(), "\n"), r.stderr)
	}
}
