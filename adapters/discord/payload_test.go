package discord_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"mime"
	"mime/multipart"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/discord"
	"github.com/laneswap/laneswap/adapters/notifiertest"
	"github.com/laneswap/laneswap/internal/fakediscord"
)

var update = flag.Bool("update", false, "write the golden files anew")

const webhookURL = "https://discord.com/api/webhooks/4711/canary-token-of-68-letters-or-so"

// told is the time at which the tests tell what happened.
var told = time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)

func newNotifier(t testing.TB, opts ...discord.Option) *discord.Notifier {
	t.Helper()
	n, err := discord.New(webhookURL, opts...)
	require.NoError(t, err)
	return n
}

// event is that a service fell silent.
func event(id, name string) laneswap.Event {
	return laneswap.Event{
		ID: id + "/1/1", Kind: laneswap.EventDown, Service: laneswap.ServiceID(id), Name: name,
		From: laneswap.StatusHealthy, To: laneswap.StatusStale, At: told, Incident: id + "/1", StartedAt: told,
		SilentSince: told.Add(-time.Minute), Cause: "silent for longer than 1m0s",
	}
}

// many is a digest of n silent services, or a mass silence.
func many(kind laneswap.NoticeKind, n int) laneswap.Notification {
	note := laneswap.Notification{ID: "many", Kind: kind, Title: fmt.Sprintf("%d services: %d stale", n, n)}
	for i := range n {
		note.Items = append(note.Items, laneswap.Item{Event: event(fmt.Sprintf("svc-%d", i), fmt.Sprintf("service %d", i))})
	}
	note.Event = note.Items[0].Event
	return note
}

// parts takes a body apart: the JSON of the message, and the file if there is one.
func parts(t testing.TB, contentType string, body []byte) (text []byte, file string) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(contentType)
	require.NoError(t, err)
	if kind == "application/json" {
		return body, ""
	}
	form, err := multipart.NewReader(bytes.NewReader(body), params["boundary"]).ReadForm(32 << 20)
	require.NoError(t, err)
	opened, err := form.File["files[0]"][0].Open()
	require.NoError(t, err)
	var content bytes.Buffer
	_, err = content.ReadFrom(opened)
	require.NoError(t, err)
	require.Equal(t, "services.txt", form.File["files[0]"][0].Filename)
	return []byte(form.Value["payload_json"][0]), content.String()
}

func TestMessage_looksAsInTheGoldenFiles(t *testing.T) {
	t.Parallel()
	n := newNotifier(t, discord.WithAvatarURL("https://example.org/lane.png"))
	notes := map[string]laneswap.Notification{}
	for _, note := range notifiertest.Notifications(told) {
		notes[note.ID+"-"+strings.ReplaceAll(string(note.Kind), "_", "-")] = note
	}
	mixed := many(laneswap.NoticeDigest, 12)
	mixed.Title = "12 services: 6 stale, 3 recovered, 1 critical, 1 unknown, 1 removed"
	for i := range 3 {
		ev := &mixed.Items[i].Event
		ev.Kind, ev.From, ev.To, ev.Duration = laneswap.EventRecovered, laneswap.StatusStale, laneswap.StatusHealthy, 305*time.Second
	}
	mixed.Items[3].Event.To, mixed.Items[3].Event.Message = laneswap.StatusCritical, "disk_full on /dev/sda1 *now*"
	mixed.Items[4].Event.Kind, mixed.Items[4].Event.To = laneswap.EventUnheard, laneswap.StatusUnknown
	mixed.Items[5].Event.Kind, mixed.Items[5].Event.Duration = laneswap.EventRemoved, 26*time.Hour
	notes["mixed"] = mixed
	notes["hostile"] = laneswap.Notification{ID: "x", Kind: laneswap.NoticeEvent, Title: "@everyone is error", Text: "@here", Items: []laneswap.Item{{Event: laneswap.Event{
		ID: "h/1/1", Kind: laneswap.EventWorse, Service: "h_1", Name: "@everyone <@1> [a](https://b) *x*", Tags: []string{"`t`", "||u||"}, From: laneswap.StatusWarning, To: laneswap.StatusError,
		Message: "# heading\n> quote\n- list\n1. one\n```code```\n<#1> <@&2> :fire: at 10:20:30\nhttps://example.org/a_b", Cause: "~~why~~", Incident: "h_1/1", At: told, StartedAt: told.Add(-time.Hour),
	}}}}
	for name, note := range notes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got bytes.Buffer
			for _, make := range []func(*discord.Notifier, laneswap.Notification) (string, []byte, error){discord.Message, discord.PlainMessage} {
				contentType, body, err := make(n, note)
				require.NoError(t, err)
				require.Empty(t, fakediscord.Validate(contentType, body, false))
				text, file := parts(t, contentType, body)
				require.NoError(t, json.Indent(&got, text, "", "\t"))
				fmt.Fprintf(&got, "\n%s\n", file)
			}
			path := filepath.Join("testdata", name+".golden")
			if *update {
				require.NoError(t, os.MkdirAll("testdata", 0o755))
				require.NoError(t, os.WriteFile(path, got.Bytes(), 0o644))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, string(want), got.String())
		})
	}
}
