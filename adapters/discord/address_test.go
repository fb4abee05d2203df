package discord_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/adapters/discord"
)

func TestNew_findsTheWebhook(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ url, base, want string }{
		{"https://discord.com/api/webhooks/1/tok", "", "https://discord.com/api/v10/webhooks/1/tok?wait=true"},
		{" \thttps://discord.com/api/webhooks/1/tok\r\n", "", "https://discord.com/api/v10/webhooks/1/tok?wait=true"},
		{"HTTPS://Discord.COM:443/api/webhooks/1/tok/", "", "https://discord.com/api/v10/webhooks/1/tok?wait=true"},
		{"https://discord.com/api/v10/webhooks/1/tok", "", "https://discord.com/api/v10/webhooks/1/tok?wait=true"},
		{"https://canary.discord.com/api/webhooks/1/tok", "", "https://canary.discord.com/api/v10/webhooks/1/tok?wait=true"},
		{"https://ptb.discord.com/api/webhooks/1/tok", "https://discord.com/", "https://ptb.discord.com/api/v10/webhooks/1/tok?wait=true"},
		{"https://discordapp.com/api/webhooks/1/tok", "", "https://discord.com/api/v10/webhooks/1/tok?wait=true"},
		{"https://ptb.discordapp.com/api/webhooks/1/tok", "", "https://ptb.discord.com/api/v10/webhooks/1/tok?wait=true"},
		{"https://discord.com/api/webhooks/1/To-k_9.x?wait=false&thread_id=77&x=y", "", "https://discord.com/api/v10/webhooks/1/To-k_9.x?thread_id=77&wait=true"},
		{"https://discord.com/api/webhooks/1/tok", "http://127.0.0.1:4711", "http://127.0.0.1:4711/api/v10/webhooks/1/tok?wait=true"},
		{"https://discordapp.com/api/v9/webhooks/1/tok?thread_id=7", "http://[::1]:4711/", "http://[::1]:4711/api/v9/webhooks/1/tok?thread_id=7&wait=true"},
		{"https://discord.com/api/v8/webhooks/1/tok", "https://proxy.example/api", "https://proxy.example/api/v8/webhooks/1/tok?wait=true"},
		{"https://discord.com/api/v11/webhooks/1/tok", "", "https://discord.com/api/v11/webhooks/1/tok?wait=true"},
		{"https://discord.com/api/webhooks/1/tok", " https://proxy.example/discord/ ", "https://proxy.example/discord/api/v10/webhooks/1/tok?wait=true"},
		{"https://discord.com/api/webhooks/1/tok", "https://proxy.example/api", "https://proxy.example/api/v10/webhooks/1/tok?wait=true"},
		{"https://discord.com/api/v9/webhooks/1/tok", "https://proxy.example/api/v10/", "https://proxy.example/api/v10/webhooks/1/tok?wait=true"},
		{"http://127.0.0.1:4711/api/webhooks/1/tok", "http://127.0.0.1:4711", "http://127.0.0.1:4711/api/v10/webhooks/1/tok?wait=true"},
	} {
		n, err := discord.New(tc.url, discord.WithAPIBase(tc.base))
		require.NoError(t, err, tc.url)
		require.Equal(t, tc.want, discord.Address(n))
	}
}

func TestNew_refusesOtherURLsAndHidesThem(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"", " ", "canary", "://canary", "https://discord.com", "https://discord.com/", "https://discord.com/api/webhooks/1", "https://discord.com/api/webhooks/1/",
		"https://discord.com/webhooks/1/canary", "https://discord.com/api/v08/webhooks/1/canary", "https://discord.com/api/v100/webhooks/1/canary", "https://discord.com/api/webhooks/one/canary",
		"https://discord.com/api/webhooks/1/canary/slack", "https://discord.com/api/webhooks/1/canary/github", "https://discord.com/api/webhooks/1/canary/messages/2",
		"https://discord.com/api/webhooks/1/can%2Fary", "https://discord.com/api/webhooks/1/../canary", "https://discord.com//api/webhooks/1/canary",
		"https://discord.com/api/webhooks/1/canary?thread_id=canary", "https://discord.com/api/webhooks/1/canary#canary", "https://discord.com/api/webhooks/1/canary%zz",
		"http://discord.com/api/webhooks/1/canary", "ftp://discord.com/api/webhooks/1/canary", "//discord.com/api/webhooks/1/canary", "discord.com/api/webhooks/1/canary",
		"https://discord.com.evil.example/api/webhooks/1/canary", "https://evil.example/api/webhooks/1/canary", "https://discord.com@evil.example/api/webhooks/1/canary",
		"https://canary:canary@discord.com/api/webhooks/1/canary", "https://xdiscord.com/api/webhooks/1/canary", "https://discord.com:8443/api/webhooks/1/canary",
		"https://discord.com/api/webhooks/1/" + strings.Repeat("canary", 40), "https://discord.com/api/webhooks/123456789012345678901/canary", "https://discord.com/api/webhooks/1/canary\x00",
		"https://discord.com/api/webhooks/1/canary canary", "https:discord.com/api/webhooks/1/canary",
	} {
		_, err := discord.New(url)
		require.ErrorIs(t, err, discord.ErrInvalidURL, url)
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), "canary", url)
	}
	_, err := discord.New("http://127.0.0.1:1/api/webhooks/1/canary", discord.WithAPIBase("http://127.0.0.1:2"))
	require.ErrorIs(t, err, discord.ErrInvalidURL, "only the base itself may take the place of Discord")
}

// Versions below 8 of the API write retry_after in milliseconds.
func TestNew_refusesOldVersionsOfTheAPI(t *testing.T) {
	t.Parallel()
	for version, tc := range map[int]struct{ url, base string }{
		3: {"https://discord.com/api/v3/webhooks/1/canary", ""},
		6: {"https://discord.com/api/webhooks/1/canary", "https://proxy.example/api/v6"},
		7: {"https://discord.com/api/v7/webhooks/1/canary", ""},
	} {
		_, err := discord.New(tc.url, discord.WithAPIBase(tc.base))
		require.ErrorIs(t, err, discord.ErrInvalidURL)
		require.ErrorContains(t, err, fmt.Sprintf("version %d of the API is not supported; remove /v%[1]d from the URL, or write /v10", version))
	}
}

func TestNew_refusesOptionsOutOfTheirRange(t *testing.T) {
	t.Parallel()
	for name, opt := range map[string]discord.Option{
		"a name with clyde":     discord.WithUsername("Bonnie and CLYDE"),
		"a name with discord":   discord.WithUsername("Discord alerts"),
		"a name too long":       discord.WithUsername(strings.Repeat("x", 81)),
		"a name of pairs":       discord.WithUsername(strings.Repeat("😀", 41)),
		"an invisible name":     discord.WithUsername(" \u200b "),
		"a name of no text":     discord.WithUsername("\xff"),
		"an avatar of a scheme": discord.WithAvatarURL("javascript:canary"),
		"an avatar of no host":  discord.WithAvatarURL("canary.png"),
		"an avatar with user":   discord.WithAvatarURL("https://canary:canary@example.org/a.png"),
		"a base of no host":     discord.WithAPIBase("canary"),
		"a base with user":      discord.WithAPIBase("https://canary:canary@example.org"),
		"a base with a query":   discord.WithAPIBase("https://example.org/?canary"),
		"a base of a scheme":    discord.WithAPIBase("ftp://canary"),
		"a base that is broken": discord.WithAPIBase("http://canary:canary:canary"),
		"no name":               discord.WithName(" "),
	} {
		_, err := discord.New(webhookURL, opt)
		require.ErrorIs(t, err, discord.ErrInvalidOption, name)
		require.NotContains(t, err.Error(), "canary", name)
	}
	for _, opt := range []discord.Option{discord.WithUsername(""), discord.WithAvatarURL(""), discord.WithAPIBase(""), discord.WithHTTPClient(nil), discord.WithUsername(strings.Repeat("x", 80))} {
		_, err := discord.New(webhookURL, opt)
		require.NoError(t, err)
	}
}
