package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/config"
)

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "README.md"))
	require.NoError(t, err)
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

func TestReadme_fileOfNotifiersIsOne(t *testing.T) {
	t.Parallel()
	found := regexp.MustCompile("(?ms)^```json\n({\"notifiers\".*?)^```$").FindStringSubmatch(readme(t))
	require.NotNil(t, found)
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("https://discord.com/api/webhooks/2/b\n"), 0o600))
	text := strings.ReplaceAll(found[1], "/run/secrets/billing", filepath.ToSlash(secret))
	require.NotEqual(t, found[1], text)
	c, err := config.Load([]string{"OPS_WEBHOOK=https://discord.com/api/webhooks/1/a", "HOOK_SECRET=s"}, map[string]string{"notifiers": file(t, text)})
	require.NoError(t, err)
	require.Len(t, c.Notifiers, 4)
	require.Equal(t, config.Secret("https://discord.com/api/webhooks/2/b"), c.Notifiers[1].Discord.Webhook)
	for _, n := range c.Notifiers {
		require.NotEmpty(t, n.Filters(), n.Name)
	}
}

func TestReadme_saysAllSettingsOfAlertsAndTheirDefaults(t *testing.T) {
	t.Parallel()
	rows := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(LANESWAP_[A-Z_]+)` \\|.*\\| *(.*?) *\\|$").FindAllStringSubmatch(readme(t), -1) {
		rows[row[1]] = row[2]
	}
	for _, f := range config.Fields() {
		if !regexp.MustCompile("DISCORD|WEBHOOK|COMMAND|GROUP|REMIND|NOTIFIERS").MatchString(f.Env) {
			continue
		}
		said, found := rows[f.Env]
		require.True(t, found, f.Env)
		delete(rows, f.Env)
		if f.Default == "" {
			require.Empty(t, said, f.Env)
			continue
		}
		require.True(t, strings.HasPrefix(said, "`"+f.Default+"`"), "%s: %s", f.Env, said)
	}
	require.Empty(t, rows)
}
