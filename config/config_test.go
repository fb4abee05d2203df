package config_test

import (
	"log/slog"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/config"
)

func TestLoad_hasTheDocumentedDefaults(t *testing.T) {
	t.Parallel()
	c, err := config.Load(nil, nil)
	require.NoError(t, err)
	require.Equal(t, config.Config{
		Host: "0.0.0.0", Port: 8000, CheckInterval: 30 * time.Second, StaleThreshold: 60 * time.Second,
		CORSOrigins: config.Origins{"*"}, MaxConnections: 10000, LogLevel: slog.LevelInfo, LogFormat: "text",
		Data: "laneswap.db", Retention: laneswap.DefaultRetention,
		MongoDBDatabase: "laneswap", MongoDBHeartbeats: "heartbeats", MongoDBErrors: "errors",
		GroupWait: laneswap.DefaultGroupWait, DiscordUsername: "LaneSwap", DiscordAPIBase: "https://discord.com",
	}, c)
	require.Equal(t, c, config.Default())
	require.Equal(t, "0.0.0.0:8000", c.Address())
}

func TestLoad_flagsWinOverTheEnvironment(t *testing.T) {
	t.Parallel()
	environ := []string{"LANESWAP_PORT=9000", "LANESWAP_HOST=::1", "LANESWAP_DEBUG=", "PORT=1", "LANESWAP_LOG_LEVEL=WARN"}
	c, err := config.Load(environ, map[string]string{"port": "0"})
	require.NoError(t, err)
	require.Zero(t, c.Port)
	require.Equal(t, config.Host("::1"), c.Host)
	require.Equal(t, "[::1]:0", c.Address())
	require.False(t, c.Debug, "an empty variable is not set")
	require.Equal(t, slog.LevelWarn, c.LogLevel)
}

// TestLoad_ignoresTheRealEnvironment is not parallel: it sets a variable.
func TestLoad_ignoresTheRealEnvironment(t *testing.T) {
	t.Setenv("LANESWAP_PORT", "9999")
	c, err := config.Load(nil, nil)
	require.NoError(t, err)
	require.Equal(t, 8000, c.Port)
}

func TestLoad_readsEachSetting(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		flag, value string
		get         func(config.Config) any
		want        any
	}{
		{"host", "[::1]", func(c config.Config) any { return c.Host }, config.Host("::1")},
		{"host", "localhost", func(c config.Config) any { return c.Host }, config.Host("localhost")},
		{"port", "65535", func(c config.Config) any { return c.Port }, 65535},
		{"check-interval", "5", func(c config.Config) any { return c.CheckInterval }, 5 * time.Second},
		{"check-interval", "0.5", func(c config.Config) any { return c.CheckInterval }, 500 * time.Millisecond},
		{"stale-threshold", "1h30m", func(c config.Config) any { return c.StaleThreshold }, 90 * time.Minute},
		{"stale-threshold", " 10ms ", func(c config.Config) any { return c.StaleThreshold }, 10 * time.Millisecond},
		{"cors-origins", "none", func(c config.Config) any { return len(c.CORSOrigins) }, 0},
		{"cors-origins", "https://A.example.org/, http://localhost:3000", func(c config.Config) any { return c.CORSOrigins }, config.Origins{"https://a.example.org", "http://localhost:3000"}},
		{"max-connections", "1", func(c config.Config) any { return c.MaxConnections }, 1},
		{"debug", "yes", func(c config.Config) any { return c.Debug }, true},
		{"debug", "true", func(c config.Config) any { return c.Level() }, slog.LevelDebug},
		{"log-level", "Error", func(c config.Config) any { return c.Level() }, slog.LevelError},
		{"check-interval", "1d12h", func(c config.Config) any { return c.CheckInterval }, 36 * time.Hour},
		{"storage", "Memory", func(c config.Config) any { return c.Storage }, "memory"},
		{"data", "/var/lib/laneswap.db", func(c config.Config) any { return c.Data }, "/var/lib/laneswap.db"},
		{"retention", "90d", func(c config.Config) any { return c.Retention }, 90 * 24 * time.Hour},
		{"retention", "87600h", func(c config.Config) any { return c.Retention }, laneswap.MaxRetention},
		{"group-wait", "0", func(c config.Config) any { return c.GroupWait }, time.Duration(0)},
		{"group-wait", "5m", func(c config.Config) any { return c.GroupWait }, laneswap.MaxGroupWait},
		{"remind-every", "1d", func(c config.Config) any { return c.RemindEvery }, 24 * time.Hour},
		{"remind-every", "0", func(c config.Config) any { return c.RemindEvery }, time.Duration(0)},
		{"mongodb-database", "watch", func(c config.Config) any { return c.MongoDBDatabase }, "watch"},
		{"log-format", "JSON", func(c config.Config) any { return c.LogFormat }, "json"},
	} {
		t.Run(tc.flag+"="+tc.value, func(t *testing.T) {
			t.Parallel()
			c, err := config.Load(nil, map[string]string{tc.flag: tc.value})
			require.NoError(t, err)
			require.Equal(t, tc.want, tc.get(c))
			for _, f := range config.Fields() {
				if f.Flag == tc.flag {
					c, err = config.Load([]string{f.Env + "=" + tc.value}, nil)
					require.NoError(t, err)
					require.Equal(t, tc.want, tc.get(c))
				}
			}
		})
	}
}

func TestLoad_refusesWithBothNamesAndTheLimit(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ flag, value, want string }{
		{"port", "http", `--port (LANESWAP_PORT) is "http", it must be a whole number from 0 to 65535`},
		{"port", "65536", `--port (LANESWAP_PORT) is "65536", it must be a whole number from 0 to 65535`},
		{"port", "-1", `--port (LANESWAP_PORT) is "-1", it must be a whole number from 0 to 65535`},
		{"port", "99999999999999999999", `--port (LANESWAP_PORT) is "99999999999999999999", it must be a whole number from 0 to 65535`},
		{"port", "", `--port (LANESWAP_PORT) is empty`},
		{"host", "http://user:secret@web", `--host (LANESWAP_HOST) must be only an IP address or a host name, without a scheme, a port or a path`},
		{"host", "0.0.0.0:8000", `--host (LANESWAP_HOST) must be only an IP address or a host name, without a scheme, a port or a path`},
		{"check-interval", "0", `--check-interval (LANESWAP_CHECK_INTERVAL) is "0", it must be a duration from 10ms to 8784h, such as 30 (seconds), 90s or 2d`},
		{"check-interval", "soon", `--check-interval (LANESWAP_CHECK_INTERVAL) is "soon", it must be a duration from 10ms to 8784h, such as 30 (seconds), 90s or 2d`},
		{"stale-threshold", "-5s", `--stale-threshold (LANESWAP_STALE_THRESHOLD) is "-5s", it must be a duration from 10ms to 8784h, such as 30 (seconds), 90s or 2d`},
		{"stale-threshold", "-5", `--stale-threshold (LANESWAP_STALE_THRESHOLD) is "-5", it must be a duration from 10ms to 8784h, such as 30 (seconds), 90s or 2d`},
		{"stale-threshold", "NaN", `--stale-threshold (LANESWAP_STALE_THRESHOLD) is "NaN", it must be a duration from 10ms to 8784h, such as 30 (seconds), 90s or 2d`},
		{"stale-threshold", "8785h", `--stale-threshold (LANESWAP_STALE_THRESHOLD) is "8785h", it must be a duration from 10ms to 8784h, such as 30 (seconds), 90s or 2d`},
		{"cors-origins", "https://ok.org,https://user:secret@web", `--cors-origins (LANESWAP_CORS_ORIGINS) has a wrong entry 2: it must be * or an origin such as https://status.example.org`},
		{"cors-origins", "example.org", `--cors-origins (LANESWAP_CORS_ORIGINS) has a wrong entry 1: it must be * or an origin such as https://status.example.org`},
		{"cors-origins", ",", `--cors-origins (LANESWAP_CORS_ORIGINS) has no origin: it must be *, none, or origins such as https://status.example.org`},
		{"max-connections", "0", `--max-connections (LANESWAP_MAX_CONNECTIONS) is "0", it must be a whole number from 1 to 1000000`},
		{"debug", "maybe", `--debug (LANESWAP_DEBUG) is "maybe", it must be true or false`},
		{"stale-threshold", "200000d", `--stale-threshold (LANESWAP_STALE_THRESHOLD) is "200000d", it must be a duration from 10ms to 8784h, such as 30 (seconds), 90s or 2d`},
		{"stale-threshold", "2d-1h", `--stale-threshold (LANESWAP_STALE_THRESHOLD) is "2d-1h", it must be a duration from 10ms to 8784h, such as 30 (seconds), 90s or 2d`},
		{"storage", "disk", `--storage (LANESWAP_STORAGE) is "disk", it must be one of memory, file, mongodb`},
		{"storage", "mongodb", `--storage (LANESWAP_STORAGE) is "mongodb", which needs LANESWAP_MONGODB_URI`},
		{"data", "", `--data (LANESWAP_DATA) is empty`},
		{"retention", "23h", `--retention (LANESWAP_RETENTION) is "23h", it must be a duration from 1d to 3650d, such as 30 (seconds), 90s or 2d`},
		{"retention", "3651d", `--retention (LANESWAP_RETENTION) is "3651d", it must be a duration from 1d to 3650d, such as 30 (seconds), 90s or 2d`},
		{"group-wait", "301", `--group-wait (LANESWAP_GROUP_WAIT) is "301", it must be a duration from 0 to 5m, such as 30 (seconds), 90s or 2d`},
		{"remind-every", "1ms", `--remind-every (LANESWAP_REMIND_EVERY) is "1ms", it must be 0 or a duration from 10ms to 8784h`},
		{"remind-every", "8785h", `--remind-every (LANESWAP_REMIND_EVERY) is "8785h", it must be 0 or a duration from 10ms to 8784h`},
		{"notifiers", "", `--notifiers (LANESWAP_NOTIFIERS) is empty`},
		{"notifiers", "/none/n.json", `--notifiers (LANESWAP_NOTIFIERS) names the file "/none/n.json": no such file or directory`},
		{"notifiers", "https://discord.com/api/webhooks/1/secret", `--notifiers (LANESWAP_NOTIFIERS) is an address, it must be the path of a file`},
		{"log-level", "loud", `--log-level (LANESWAP_LOG_LEVEL) is "loud", it must be one of debug, info, warn, error`},
		{"log-format", "a\x1b[31m", `--log-format (LANESWAP_LOG_FORMAT) is "a[31m", it must be one of text, json`},
	} {
		t.Run(tc.flag+"="+tc.value, func(t *testing.T) {
			t.Parallel()
			_, err := config.Load(nil, map[string]string{tc.flag: tc.value})
			require.EqualError(t, err, tc.want)
			require.NotContains(t, err.Error(), "secret")
			var one *config.Error
			require.ErrorAs(t, err, &one)
			require.Equal(t, tc.flag, one.Flag)
			if tc.value == "" {
				return
			}
			_, err = config.Load([]string{one.Env + "=" + tc.value}, nil)
			require.EqualError(t, err, one.Env+" (--"+one.Flag+") "+one.Problem)
		})
	}
}

func TestLoad_namesEverySettingThatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := config.Load([]string{"LANESWAP_PORT=x", "LANESWAP_DEBUG=x"}, map[string]string{"log-level": "x", "check-interval": "0"})
	var all config.Errors
	require.ErrorAs(t, err, &all)
	named := map[string]bool{}
	for _, e := range all {
		named[e.Flag] = e.FromFlag
	}
	require.Equal(t, map[string]bool{"port": false, "debug": false, "log-level": true, "check-interval": true}, named)
}

func TestLoad_mayBeCalledConcurrently(t *testing.T) {
	t.Parallel()
	for range 8 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			_, err := config.Load([]string{"LANESWAP_PORT=1"}, nil)
			require.NoError(t, err)
		})
	}
}

func TestFields_areComplete(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	// Empty is a choice of its own for these.
	optional := []string{
		"LANESWAP_STORAGE", "LANESWAP_MONGODB_URI", "LANESWAP_NOTIFIERS", "LANESWAP_DISCORD_WEBHOOK", "LANESWAP_DISCORD_AVATAR_URL",
		"LANESWAP_WEBHOOK_URL", "LANESWAP_WEBHOOK_SECRET", "LANESWAP_COMMAND",
	}
	secret := regexp.MustCompile("URI|WEBHOOK|SECRET|COMMAND")
	for _, f := range config.Fields() {
		require.NotEmpty(t, f.Help, f.Flag)
		require.Equal(t, slices.Contains(optional, f.Env), f.Default == "", f.Env)
		require.False(t, f.Flag != "" && secret.MatchString(f.Env), "%s: who lists processes sees flags", f.Env)
		require.Regexp(t, "^LANESWAP_[A-Z_]+$", f.Env)
		require.False(t, seen[f.Env], f.Env)
		seen[f.Env] = true
		if f.Flag != "" {
			require.Regexp(t, "^[a-z-]+$", f.Flag)
			require.False(t, seen[f.Flag], f.Flag)
			seen[f.Flag] = true
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"30", "30s", "-1", "1e9", "0x1p4", "NaN", "1h", "", "9999999h", "400d", "1d12h", "106751d23h59m"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := config.ParseDuration(s)
		require.True(t, err != nil || d >= 0)
	})
}

// Who pastes an address into the setting beside its own must not read it in a log.
func TestLoad_quotesNothingThatMayBeAnAddress(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"mongodb://ada:hunter2@db.example.org", "ada:hunter2@db"} {
		for _, variable := range []string{"LANESWAP_STORAGE", "LANESWAP_PORT", "LANESWAP_RETENTION", "LANESWAP_CHECK_INTERVAL"} {
			_, err := config.Load([]string{variable + "=" + value}, nil)
			require.ErrorContains(t, err, variable)
			require.NotContains(t, err.Error(), "hunter2")
		}
	}
}
