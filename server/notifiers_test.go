package server_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/config"
	"github.com/laneswap/laneswap/server"
)

const discordURL = "https://discord.com/api/webhooks/1/hunter2"

// loaded are settings of the variables, on a free loopback port and in memory.
func loaded(t *testing.T, environ ...string) config.Config {
	t.Helper()
	cfg, err := config.Load(append([]string{"LANESWAP_HOST=127.0.0.1", "LANESWAP_PORT=0", "LANESWAP_STORAGE=memory"}, environ...), nil)
	require.NoError(t, err)
	return cfg
}

// notifiersFile writes a file of notifiers, and returns the variable that names it.
func notifiersFile(t *testing.T, entries ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notifiers.json")
	require.NoError(t, os.WriteFile(path, []byte(`{"notifiers":[`+strings.Join(entries, ",")+`]}`), 0o600))
	return "LANESWAP_NOTIFIERS=" + path
}

func TestOpen_saysWhichSettingOfANotifierCannotBeUsed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ want, environ string }{
		{`LANESWAP_DISCORD_WEBHOOK: invalid webhook URL: its host is not discord.com; `, "LANESWAP_DISCORD_WEBHOOK=https://example.org/api/webhooks/1/hunter2"},
		{`LANESWAP_DISCORD_WEBHOOK: invalid webhook URL: it does not begin with https://; `, "LANESWAP_DISCORD_WEBHOOK=http://discord.com/api/webhooks/1/hunter2"},
		{`LANESWAP_DISCORD_WEBHOOK: invalid webhook URL: its path is not /api/webhooks/ID/TOKEN; `, "LANESWAP_DISCORD_WEBHOOK=" + discordURL + "/x"},
		{`LANESWAP_DISCORD_WEBHOOK: `, "LANESWAP_DISCORD_WEBHOOK=hunter2"},
		{`LANESWAP_DISCORD_WEBHOOK: `, "LANESWAP_DISCORD_WEBHOOK=https://%zzhunter2"},
		{`LANESWAP_DISCORD_API_BASE: `, "LANESWAP_DISCORD_API_BASE=ftp://hunter2 LANESWAP_DISCORD_WEBHOOK=" + discordURL},
		{`LANESWAP_DISCORD_API_BASE: `, "LANESWAP_DISCORD_API_BASE=http://ada:hunter2@proxy LANESWAP_DISCORD_WEBHOOK=" + discordURL},
		{`LANESWAP_DISCORD_USERNAME: `, "LANESWAP_DISCORD_USERNAME=Discord LANESWAP_DISCORD_WEBHOOK=" + discordURL},
		{`LANESWAP_DISCORD_AVATAR_URL: `, "LANESWAP_DISCORD_AVATAR_URL=file:///hunter2 LANESWAP_DISCORD_WEBHOOK=" + discordURL},
		{`LANESWAP_WEBHOOK_URL: `, "LANESWAP_WEBHOOK_URL=ftp://hunter2.example.org/"},
		{`LANESWAP_WEBHOOK_URL: `, "LANESWAP_WEBHOOK_URL=https://%zzhunter2"},
		{`LANESWAP_WEBHOOK_URL: .* (LANESWAP_WEBHOOK_PRIVATE allows private networks)`, "LANESWAP_WEBHOOK_URL=http://10.0.0.1/hunter2"},
		{`webhook.url of entry 1 (hook) in .* (webhook.private of entry 1 (hook) in \S+/notifiers.json allows private networks)`, notifiersFile(t,
			`{"name":"hook","webhook":{"url":"http://127.0.0.1/hunter2"}}`)},
		{`LANESWAP_COMMAND: `, `LANESWAP_COMMAND=["/none/page","hunter2"]`},
		{`discord.webhook of entry 2 (ops) in \S+/notifiers.json: invalid webhook URL: `, notifiersFile(t,
			`{"name":"pager","command":["go"]}`, `{"name":"ops","discord":{"webhook":"https://example.org/hunter2"}}`)},
		{`discord.username of entry 1 (ops) in \S+/notifiers.json: `, notifiersFile(t, `{"name":"ops","discord":{"webhook":"`+discordURL+`","username":"clyde"}}`)},
		{`LANESWAP_DISCORD_USERNAME: `, "LANESWAP_DISCORD_USERNAME=Discord " + notifiersFile(t, `{"name":"ops","discord":{"webhook":"`+discordURL+`"}}`)},
		{`webhook.url of entry 1 (hook) in \S+/notifiers.json: `, notifiersFile(t, `{"name":"hook","webhook":{"url":"hunter2"}}`)},
		{`webhook.headers.Host of entry 1 (hook) in \S+/notifiers.json: `, notifiersFile(t, `{"name":"hook","webhook":{"url":"https://example.org/","headers":{"Host":"hunter2"}}}`)},
		{`command of entry 1 (pager) in \S+/notifiers.json: `, notifiersFile(t, `{"name":"pager","command":["/none/page","hunter2"]}`)},
	} {
		environ := strings.Split(tc.environ, " LANESWAP")
		for i := range environ[1:] {
			environ[i+1] = "LANESWAP" + environ[i+1]
		}
		_, err := server.Open(loaded(t, environ...))
		require.ErrorIs(t, err, laneswap.ErrInvalidOption, tc.environ)
		want := strings.NewReplacer("(", `\(`, ")", `\)`).Replace(tc.want)
		require.Regexp(t, regexp.MustCompile("^server: cannot use "+want), err.Error())
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestServer_namesItsNotifiersAndNothingElseOfThem(t *testing.T) {
	t.Parallel()
	s := run(t, loaded(t, "LANESWAP_DISCORD_WEBHOOK="+discordURL, "LANESWAP_WEBHOOK_URL=https://hunter2.example.org/", `LANESWAP_COMMAND=["go","hunter2"]`,
		notifiersFile(t, `{"name":"ops","discord":{"webhook":"`+discordURL+`"}}`)),
		server.WithManagerOptions(laneswap.WithNotifier(named{"own"})))
	get(t, s.URL()+"/healthz")
	s.stop()
	require.NoError(t, <-s.done)
	require.Regexp(t, `(?m)msg=listening .* storage=memory notifiers=command,discord,ops,own,slog,webhook$`, s.log.String())
	require.NotContains(t, s.log.String(), "hunter2")
}

// named is a notifier that has a name only.
type named struct{ name string }

func (n named) Name() string                                        { return n.name }
func (n named) Notify(context.Context, laneswap.Notification) error { return nil }

// post is a request that a webhook got.
type post struct {
	header http.Header
	body   string
}

func TestServer_postsToItsWebhooksWhatTheirRoutesLetPass(t *testing.T) {
	t.Parallel()
	posts := map[string]chan post{"/all": make(chan post, 10), "/billing": make(chan post, 10)}
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		posts[r.URL.Path] <- post{r.Header, string(body)}
	}))
	defer receiver.Close()
	s := run(t, loaded(t, "LANESWAP_WEBHOOK_URL="+receiver.URL+"/all", "LANESWAP_WEBHOOK_SECRET=hunter2", "LANESWAP_WEBHOOK_PRIVATE=yes", "LANESWAP_GROUP_WAIT=0",
		notifiersFile(t, `{"name":"billing","webhook":{"url":"`+receiver.URL+`/billing","private":true,"headers":{"X-Team":"a"}},"services":["billing*"],"levels":["error"]}`)))
	code, _ := get(t, s.URL()+"/readyz")
	require.Equal(t, http.StatusOK, code)
	for _, id := range []laneswap.ServiceID{"shop", "billing@web-1"} {
		_, err := s.Manager().Register(t.Context(), laneswap.Registration{ID: id})
		require.NoError(t, err)
		for _, status := range []laneswap.Status{laneswap.StatusWarning, laneswap.StatusError} {
			_, err = s.Manager().Report(t.Context(), id, laneswap.Heartbeat{Status: status})
			require.NoError(t, err)
		}
	}
	s.stop()
	require.NoError(t, <-s.done, "stopping delivers what is owed")
	require.NotContains(t, s.log.String(), "hunter2")
	require.NotEmpty(t, posts["/all"])
	require.Len(t, posts["/billing"], 1)
	billing := <-posts["/billing"]
	require.Equal(t, "a", billing.header.Get("X-Team"))
	require.True(t, json.Valid([]byte(billing.body)), billing.body)
	require.Contains(t, billing.body, "billing@web-1")
	require.NotContains(t, billing.body, "shop")
	all := <-posts["/all"]
	signed := false
	for name := range all.header {
		signed = signed || strings.Contains(name, "Signature")
	}
	require.True(t, signed, all.header)
}

func TestServer_doesNotPostIntoAPrivateNetworkUnasked(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- struct{}{} }))
	defer receiver.Close()
	// A name says only when it is looked up where it leads.
	at := strings.Replace(receiver.URL, "127.0.0.1", "localhost.localdomain", 1)
	s := run(t, loaded(t, "LANESWAP_WEBHOOK_URL="+at+"/hunter2", "LANESWAP_GROUP_WAIT=0"))
	code, _ := get(t, s.URL()+"/readyz")
	require.Equal(t, http.StatusOK, code)
	test, err := s.Manager().TestNotifier(t.Context(), "webhook")
	require.NoError(t, err)
	require.False(t, test.Delivered)
	require.NotEmpty(t, test.Error)
	require.NotContains(t, test.Error, "hunter2")
	require.Empty(t, asked)
}

// TestServer_gathersUnlessItIsToTellImmediately has three services fail at once.
func TestServer_gathersUnlessItIsToTellImmediately(t *testing.T) {
	t.Parallel()
	posts := map[string]chan post{"/gathered": make(chan post, 10), "/immediately": make(chan post, 10)}
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		posts[r.URL.Path] <- post{r.Header, string(body)}
	}))
	defer receiver.Close()
	s := run(t, loaded(t, "LANESWAP_GROUP_WAIT=5m", notifiersFile(t,
		`{"name":"a","webhook":{"url":"`+receiver.URL+`/gathered","private":true}}`,
		`{"name":"b","webhook":{"url":"`+receiver.URL+`/immediately","private":true},"immediately":true}`)))
	code, _ := get(t, s.URL()+"/readyz")
	require.Equal(t, http.StatusOK, code)
	for _, id := range []laneswap.ServiceID{"x", "y", "z"} {
		_, err := s.Manager().Register(t.Context(), laneswap.Registration{ID: id})
		require.NoError(t, err)
		require.NoError(t, s.Manager().Beat(t.Context(), id, laneswap.Heartbeat{Status: laneswap.StatusError}))
	}
	require.Eventually(t, func() bool { return len(posts["/immediately"]) == 3 }, 20*time.Second, time.Millisecond)
	require.Empty(t, posts["/gathered"])
	s.stop()
	require.NoError(t, <-s.done)
	require.NotEmpty(t, posts["/gathered"], "stopping does not wait for company")
}

func TestServer_givesAlertsToItsCommand(t *testing.T) {
	t.Parallel()
	if os.PathSeparator != '/' {
		t.Skip("there is no /bin/sh here")
	}
	told := filepath.Join(t.TempDir(), "told")
	argv, err := json.Marshal([]string{"/bin/sh", "-c", `cat >> "$0"`, told})
	require.NoError(t, err)
	s := run(t, loaded(t, "LANESWAP_COMMAND="+string(argv), "LANESWAP_GROUP_WAIT=0"))
	code, _ := get(t, s.URL()+"/readyz")
	require.Equal(t, http.StatusOK, code)
	_, err = s.Manager().Register(t.Context(), laneswap.Registration{ID: "shop"})
	require.NoError(t, err)
	_, err = s.Manager().Report(t.Context(), "shop", laneswap.Heartbeat{Status: laneswap.StatusError, Message: "no disk"})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(told)
		return err == nil && strings.Contains(string(text), "no disk") && json.Valid(text)
	}, 20*time.Second, time.Millisecond)
}

func TestServer_saysWhichSettingsOfNotifiersChangeNothing(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		environ []string
		unused  []string
	}{
		"none":           {[]string{"LANESWAP_DISCORD_WEBHOOK=" + discordURL, "LANESWAP_DISCORD_USERNAME=Ops", "LANESWAP_DISCORD_API_BASE=http://127.0.0.1:1"}, nil},
		"nothing is set": {nil, nil},
		"no webhook at all": {
			[]string{"LANESWAP_DISCORD_WEBHOK=" + discordURL, "LANESWAP_DISCORD_USERNAME=Ops", "LANESWAP_DISCORD_AVATAR_URL=https://a.example/b", "LANESWAP_DISCORD_API_BASE=http://127.0.0.1:1"},
			[]string{"LANESWAP_DISCORD_USERNAME", "LANESWAP_DISCORD_AVATAR_URL", "LANESWAP_DISCORD_API_BASE"},
		},
		"one in the file":  {[]string{"LANESWAP_DISCORD_USERNAME=Ops", notifiersFile(t, `{"name":"x","discord":{"webhook":"`+discordURL+`"}}`)}, nil},
		"a secret without": {[]string{"LANESWAP_WEBHOOK_SECRET=hunter2", "LANESWAP_WEBHOOK_PRIVATE=true"}, []string{"LANESWAP_WEBHOOK_SECRET", "LANESWAP_WEBHOOK_PRIVATE"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := new(logBuffer)
			s, err := server.Open(loaded(t, tc.environ...), server.WithLogOutput(log))
			require.NoError(t, err)
			require.NoError(t, s.Close())
			require.Equal(t, len(tc.unused), strings.Count(log.String(), "has no effect"), log.String())
			for _, variable := range tc.unused {
				require.Contains(t, log.String(), variable+" has no effect: ")
			}
			require.NotContains(t, log.String(), "hunter2")
		})
	}
}

// TestServer_stopsWellWithNoticesThatItsStorageKeeps has a receiver that is away
// while the server stops, and there again after its next start.
func TestServer_stopsWellWithNoticesThatItsStorageKeeps(t *testing.T) {
	t.Parallel()
	var back atomic.Bool
	posts := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !back.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		body, _ := io.ReadAll(r.Body)
		posts <- string(body)
	}))
	defer receiver.Close()
	cfg := loaded(t, "LANESWAP_STORAGE=file", "LANESWAP_DATA="+newData(t),
		"LANESWAP_WEBHOOK_URL="+receiver.URL, "LANESWAP_WEBHOOK_PRIVATE=true", "LANESWAP_GROUP_WAIT=0")
	s := run(t, cfg)
	code, _ := get(t, s.URL()+"/readyz")
	require.Equal(t, http.StatusOK, code)
	_, err := s.Manager().Register(t.Context(), laneswap.Registration{ID: "billing"})
	require.NoError(t, err)
	_, err = s.Manager().Report(t.Context(), "billing", laneswap.Heartbeat{Status: laneswap.StatusError})
	require.NoError(t, err)
	s.stop()
	require.NoError(t, <-s.done)
	require.Contains(t, s.log.String(), "sent after the next start")
	require.Empty(t, posts)

	back.Store(true)
	run(t, cfg)
	select {
	case body := <-posts:
		require.Contains(t, body, "billing is error")
	case <-time.After(20 * time.Second):
		t.Fatal("what was owed is not told")
	}
}

// What the file of notifiers takes from a variable is a secret of LaneSwap's.
func TestServer_keepsTheSecretsOfNotifiersFromPrograms(t *testing.T) {
	t.Setenv("OPS_WEBHOOK", discordURL)
	t.Setenv("HOOK_SECRET", "hunter2")
	told := filepath.Join(t.TempDir(), "told")
	s := run(t, loaded(t, "OPS_WEBHOOK="+discordURL, "HOOK_SECRET=hunter2", "LANESWAP_DISCORD_API_BASE=http://127.0.0.1:1", notifiersFile(t,
		`{"name":"ops","discord":{"webhook":{"env":"OPS_WEBHOOK"}}}`,
		`{"name":"hook","webhook":{"url":"http://127.0.0.1:1/","private":true,"secret":{"env":"HOOK_SECRET"}}}`,
		`{"name":"pager","command":["/bin/sh","-c","env > \"$0\"","`+told+`"]}`)))
	code, _ := get(t, s.URL()+"/readyz") // it has started
	require.Equal(t, http.StatusOK, code)
	result, err := s.Manager().TestNotifier(t.Context(), "pager")
	require.NoError(t, err)
	require.True(t, result.Delivered, result.Error)
	env, err := os.ReadFile(told)
	require.NoError(t, err)
	require.Contains(t, string(env), "LANESWAP_TITLE=")
	require.NotContains(t, string(env), "hunter2")
}

func TestServer_readyzHoldsTheLastErrorOfANotifier(t *testing.T) {
	t.Parallel()
	s := run(t, loaded(t, "LANESWAP_WEBHOOK_URL=http://127.0.0.1:1/hunter2", "LANESWAP_WEBHOOK_PRIVATE=true"))
	code, _ := get(t, s.URL()+"/readyz")
	require.Equal(t, http.StatusOK, code)
	_, err := s.Manager().TestNotifier(t.Context(), "webhook")
	require.NoError(t, err)
	_, body := get(t, s.URL()+"/readyz")
	require.Contains(t, body, `"last_error":`)
	require.NotContains(t, body, "hunter2")
}
