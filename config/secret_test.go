package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/config"
)

func TestSecret_isNeverPrinted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notifiers.json")
	require.NoError(t, os.WriteFile(path, []byte(`{"notifiers":[
		{"name":"a","discord":{"webhook":"https://discord.com/api/webhooks/1/hunter2"}},
		{"name":"b","webhook":{"url":"https://hunter2.example.org","secret":"hunter2","headers":{"Authorization":"Bearer hunter2"}}},
		{"name":"c","command":["page","--token=hunter2"]}]}`), 0o600))
	c, err := config.Load([]string{
		"LANESWAP_MONGODB_URI=" + uri, "LANESWAP_NOTIFIERS=" + path,
		"LANESWAP_DISCORD_WEBHOOK=https://discord.com/api/webhooks/1/hunter2",
		"LANESWAP_WEBHOOK_URL=https://hook.example.org/hunter2", "LANESWAP_WEBHOOK_SECRET=hunter2",
		`LANESWAP_COMMAND=["page","hunter2"]`,
	}, nil)
	require.NoError(t, err)
	all := c.AllNotifiers()
	require.Len(t, all, 6)
	secrets := []any{c, &c, c.MongoDBURI, c.Command, []string(nil)}
	for _, n := range all {
		secrets = append(secrets, n, &n, n.Command, n.Discord, &n.Discord, n.Webhook, &n.Webhook)
	}
	var out bytes.Buffer
	for _, s := range secrets {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%t", "%20.3v"} {
			fmt.Fprintf(&out, format+"\n", s)
		}
		require.NoError(t, json.NewEncoder(&out).Encode(s))
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("settings", "one", s)
		}
	}
	for _, line := range strings.Split(out.String(), "\n") {
		for _, verb := range []string{"%s", "%x", "%X", "% x"} {
			require.NotContains(t, line, fmt.Sprintf(verb, "hunter2"))
		}
	}
	require.Contains(t, out.String(), "(hidden)")
	require.Contains(t, out.String(), "page (arguments hidden: 1)")
	require.Empty(t, config.Secret("").String())
	require.Empty(t, config.Command(nil).String())
}
