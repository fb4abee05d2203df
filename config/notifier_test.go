package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/config"
)

const webhook = "https://discord.com/api/webhooks/1/hunter2"

func TestAllNotifiers_ofNothingAreNone(t *testing.T) {
	t.Parallel()
	require.Empty(t, config.Default().AllNotifiers())
	c, err := config.Load([]string{"LANESWAP_DISCORD_WEBHOOK= ", "LANESWAP_DISCORD_USERNAME=Ann", "LANESWAP_WEBHOOK_SECRET=s", "LANESWAP_WEBHOOK_PRIVATE=yes"}, nil)
	require.NoError(t, err)
	require.Empty(t, c.AllNotifiers(), "an empty variable is not set, and the others switch nothing on")
}

func TestAllNotifiers_aDiscordWebhookAloneIsEnough(t *testing.T) {
	t.Parallel()
	c, err := config.Load([]string{"LANESWAP_DISCORD_WEBHOOK=" + webhook}, nil)
	require.NoError(t, err)
	all := c.AllNotifiers()
	require.Len(t, all, 1)
	require.Equal(t, "discord", all[0].Name)
	require.Equal(t, config.Discord{Webhook: webhook, Username: "LaneSwap"}, all[0].Discord)
	require.Zero(t, all[0].Webhook)
	require.Nil(t, all[0].Command)
	require.Empty(t, all[0].Filters(), "it is told everything")
	require.Equal(t, "LANESWAP_DISCORD_WEBHOOK", all[0].Called("discord.webhook"))
	require.Equal(t, "LANESWAP_DISCORD_USERNAME", all[0].Called("discord.username"))
	require.Equal(t, "https://discord.com", c.DiscordAPIBase)
}

func TestAllNotifiers_haveThoseOfTheVariablesAndOfTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notifiers.json")
	require.NoError(t, os.WriteFile(path, []byte(`{"notifiers":[
		{"name":"ops","discord":{"webhook":"https://discord.com/api/webhooks/2/b"}},
		{"name":"other","discord":{"webhook":"https://discord.com/api/webhooks/3/c","username":"Own","avatar_url":"https://own.example.org/a.png"}}]}`), 0o600))
	c, err := config.Load([]string{
		"LANESWAP_DISCORD_WEBHOOK=" + webhook, "LANESWAP_DISCORD_USERNAME=Ann", "LANESWAP_DISCORD_AVATAR_URL=https://example.org/a.png",
		"LANESWAP_WEBHOOK_URL=http://10.0.0.1/hook", "LANESWAP_WEBHOOK_SECRET=s", "LANESWAP_WEBHOOK_PRIVATE=yes",
		"LANESWAP_COMMAND=page",
	}, map[string]string{"notifiers": path})
	require.NoError(t, err)
	all := c.AllNotifiers()
	var names []string
	for _, n := range all {
		names = append(names, n.Name)
	}
	require.Equal(t, []string{"discord", "webhook", "command", "ops", "other"}, names)
	require.Equal(t, config.Discord{Webhook: webhook, Username: "Ann", AvatarURL: "https://example.org/a.png"}, all[0].Discord)
	require.Equal(t, config.Webhook{URL: "http://10.0.0.1/hook", Secret: "s", Private: true}, all[1].Webhook)
	require.Equal(t, config.Command{"page"}, all[2].Command)
	require.Equal(t, config.Discord{Webhook: "https://discord.com/api/webhooks/2/b", Username: "Ann", AvatarURL: "https://example.org/a.png"}, all[3].Discord)
	require.Equal(t, config.Discord{Webhook: "https://discord.com/api/webhooks/3/c", Username: "Own", AvatarURL: "https://own.example.org/a.png"}, all[4].Discord)
	require.Empty(t, c.Notifiers[0].Discord.Username, "what was read is left as it is")

	require.Equal(t, "LANESWAP_WEBHOOK_URL", all[1].Called("webhook.url"))
	require.Equal(t, "LANESWAP_COMMAND", all[2].Called("command"))
	require.Equal(t, "discord.webhook of entry 1 (ops) in "+path, all[3].Called("discord.webhook"))
	require.Equal(t, "LANESWAP_DISCORD_USERNAME", all[3].Called("discord.username"), "that is where it came from")
	require.Equal(t, "discord.username of entry 2 (other) in "+path, all[4].Called("discord.username"))
	require.Equal(t, "command of the notifier own", config.Notifier{Name: "own"}.Called("command"))
}

func TestFilters_areThoseThatWereAskedFor(t *testing.T) {
	t.Parallel()
	n := config.Notifier{
		Levels: []laneswap.Level{laneswap.LevelError, laneswap.LevelSuccess}, MinLevel: laneswap.LevelWarning,
		Statuses: []laneswap.Status{laneswap.StatusStale}, Services: []string{"billing*", "shop"}, NotServices: []string{"*-test"}, Tags: []string{"prod"},
	}
	var said []string
	for _, f := range n.Filters() {
		said = append(said, f.String())
	}
	require.Equal(t, []string{
		"level error, success", "level warning or louder", "status stale", "service billing*, shop", "not service *-test", "tag prod",
	}, said)
	require.Empty(t, config.Notifier{Name: "all"}.Filters())
}
