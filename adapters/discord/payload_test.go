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
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/discord"
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

// everyKind is a message of each kind, and of each kind of event.
func everyKind() map[string]laneswap.Notification {
	about := func(kind laneswap.NoticeKind, title string, item laneswap.Item) laneswap.Notification {
		return laneswap.Notification{ID: "notice/1", Kind: kind, Event: item.Event, Title: title, Text: title + ", and more", Items: []laneswap.Item{item}}
	}
	change := func(kind laneswap.EventKind, from, to laneswap.Status, message string) laneswap.Event {
		ev := event("import", "nightly import")
		ev.Kind, ev.From, ev.To, ev.Message, ev.SilentSince = kind, from, to, message, time.Time{}
		ev.Cause = "reported error: could not open \"orders_2026.csv\""
		ev.StartedAt = told.Add(-7 * time.Minute)
		return ev
	}
	back := event("billing@web-1", "billing")
	back.Kind, back.From, back.To, back.Duration, back.Tags = laneswap.EventRecovered, laneswap.StatusStale, laneswap.StatusHealthy, 425*time.Second, []string{"prod", "eu_west"}
	back.At = told.Add(425 * time.Second)
	gone := change(laneswap.EventRemoved, laneswap.StatusError, laneswap.StatusUnknown, "forgotten after 24h0m0s")
	gone.Duration = 26 * time.Hour
	unheard := laneswap.Event{ID: "backup/0/9", Kind: laneswap.EventUnheard, Service: "backup", Name: "backup", From: laneswap.StatusHealthy, To: laneswap.StatusUnknown, At: told, Cause: "LaneSwap could not hear for 6h12m0s"}
	storage := laneswap.Event{ID: "storage/3", Kind: laneswap.EventStorageBack, Name: "LaneSwap", At: told, Message: "the storage took all that waited", Duration: 90 * time.Second}
	failed := change(laneswap.EventDown, laneswap.StatusHealthy, laneswap.StatusError, "could not open \"orders_2026.csv\" (tried 3 times)\nsee https://wiki.example.org/import")
	failed.StartedAt = told
	mass := many(laneswap.NoticeMassSilence, 4)
	mass.Title, mass.Finding = "4 services fell silent at once: the cause may be LaneSwap or its network", "Self-check: heartbeats from 0 of 4 services in the last minute"
	return map[string]laneswap.Notification{
		"silent":    about(laneswap.NoticeEvent, "billing is stale", laneswap.Item{Event: event("billing@web-1", "billing")}),
		"failed":    about(laneswap.NoticeEvent, "nightly import is error", laneswap.Item{Event: failed}),
		"worse":     about(laneswap.NoticeEvent, "nightly import is critical", laneswap.Item{Event: change(laneswap.EventWorse, laneswap.StatusError, laneswap.StatusCritical, "disk full")}),
		"better":    about(laneswap.NoticeEvent, "nightly import is warning", laneswap.Item{Event: change(laneswap.EventBetter, laneswap.StatusError, laneswap.StatusWarning, "")}),
		"recovered": about(laneswap.NoticeEvent, "billing recovered", laneswap.Item{Event: back}),
		"merged":    about(laneswap.NoticeEvent, "billing recovered", laneswap.Item{Event: back, Earlier: []laneswap.Event{event("billing@web-1", "billing")}}),
		"removed":   about(laneswap.NoticeEvent, "nightly import was removed", laneswap.Item{Event: gone}),
		"unheard":   about(laneswap.NoticeEvent, "backup is unknown", laneswap.Item{Event: unheard}),
		"storage":   about(laneswap.NoticeEvent, "LaneSwap: storage back", laneswap.Item{Event: storage}),
		"flapping":  about(laneswap.NoticeFlapping, "nightly import is flapping", laneswap.Item{Event: failed, Flapping: 10}),
		"reminder":  about(laneswap.NoticeReminder, "nightly import is still error", laneswap.Item{Event: failed, Reminder: 4 * time.Hour}),
		"test":      about(laneswap.NoticeTest, "LaneSwap: this is a test", laneswap.Item{Event: laneswap.Event{ID: "test/1", Name: "LaneSwap", Message: "this is a test", At: told}}),
		"mass":      mass,
	}
}

func TestMessage_looksAsInTheGoldenFiles(t *testing.T) {
	t.Parallel()
	n := newNotifier(t, discord.WithAvatarURL("https://example.org/lane.png"))
	notes := everyKind()
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

func TestMessage_saysHowLongAServiceIsSilentWhileItIs(t *testing.T) {
	t.Parallel()
	ev := event("billing", "billing")
	silent := fmt.Sprintf("<t:%d:f>", ev.SilentSince.Unix())
	counting := fmt.Sprintf(" (<t:%d:R>)", ev.SilentSince.Unix())
	recovered := ev
	recovered.Kind, recovered.From, recovered.To, recovered.Duration = laneswap.EventRecovered, laneswap.StatusStale, laneswap.StatusHealthy, time.Minute
	for want, item := range map[string]laneswap.Item{
		silent + counting: {Event: ev},
		silent:            {Event: recovered},
	} {
		_, body, err := discord.Message(newNotifier(t), laneswap.Notification{ID: "1", Kind: laneswap.NoticeEvent, Title: "x", Event: item.Event, Items: []laneswap.Item{item}})
		require.NoError(t, err)
		p, _ := read(t, "application/json", body)
		got, _ := p.Field("Silent since")
		require.Equal(t, want, got)
	}
}

func TestMessage_namesEveryIncidentThatItTellsOf(t *testing.T) {
	t.Parallel()
	again := func(service string, incidents int) (item laneswap.Item) {
		for i := range incidents {
			down, up := event(service, service), event(service, service)
			down.Incident, up.Incident = fmt.Sprint(service, "/", i+1), fmt.Sprint(service, "/", i+1)
			up.Kind, up.From, up.To, up.Duration = laneswap.EventRecovered, laneswap.StatusStale, laneswap.StatusHealthy, time.Minute
			item.Earlier = append(item.Earlier, item.Event, down)
			item.Event = up
		}
		item.Earlier = item.Earlier[1:] // it began with nothing
		return item
	}
	of := func(count int, items ...laneswap.Item) laneswap.Notification {
		note := laneswap.Notification{ID: "x", Kind: laneswap.NoticeEvent, Title: "x", Text: "x", Event: items[0].Event, Items: items}
		for len(note.Items) < count {
			note.Kind = laneswap.NoticeDigest
			note.Items = append(note.Items, laneswap.Item{Event: event(fmt.Sprint("svc-", len(note.Items)), "other")})
		}
		return note
	}
	for _, tc := range []struct {
		note         laneswap.Notification
		embed, plain string // in the message, or in the file when it has one
	}{
		{of(1, again("a", 1)), "LaneSwap · incident a/1\n", "LaneSwap · incident a/1\n"},
		{of(1, again("a", 2)), "LaneSwap · incidents a/1, a/2\n", "LaneSwap · incidents a/1, a/2\n"},
		{of(1, again("a", 200)), "LaneSwap · incidents 128 more, a/129, a/130, ", "LaneSwap · incidents 128 more, a/129, a/130, "},
		{of(2, again("a", 2)), "**a** after 1m · a/1, a/2", "recovered: a · a/1, a/2\n"},
		{of(400, again("a", 2)), ", incidents a/1, a/2\n", ", incidents a/1, a/2\n"},
	} {
		n := newNotifier(t)
		contentType, body, err := discord.Message(n, tc.note)
		require.NoError(t, err)
		p, file := read(t, contentType, body)
		require.Contains(t, p.Text()+file, tc.embed)
		contentType, body, err = discord.PlainMessage(n, tc.note)
		require.NoError(t, err)
		p, file = read(t, contentType, body)
		require.Contains(t, p.Text()+file, tc.plain)
	}
}
