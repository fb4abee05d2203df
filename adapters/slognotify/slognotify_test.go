package slognotify_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/notifiertest"
	"github.com/laneswap/laneswap/adapters/slognotify"
)

// output is what a logger has written.
type output struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// plain makes a logger without what changes from run to run.
func plain(out *output) *slog.Logger {
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "event" || a.Key == "incident" {
			return slog.Attr{}
		}
		return a
	}}))
}

// raw is a handler that writes messages and texts as they are.
type raw struct{ out *output }

func (r raw) Enabled(context.Context, slog.Level) bool { return true }
func (r raw) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r raw) WithGroup(string) slog.Handler            { return r }
func (r raw) Handle(_ context.Context, rec slog.Record) error {
	line := rec.Message
	rec.Attrs(func(a slog.Attr) bool { line += " " + a.Value.String(); return true })
	_, err := r.out.Write([]byte(line + "\n"))
	return err
}

func TestNotifier_keepsTheContract(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]func(out *output) slog.Handler{
		"text": func(out *output) slog.Handler { return slog.NewTextHandler(out, nil) },
		"JSON": func(out *output) slog.Handler { return slog.NewJSONHandler(out, nil) },
		"raw":  func(out *output) slog.Handler { return raw{out} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			notifiertest.Run(t, notifiertest.Target{
				Local: func(_ *testing.T, _ *notifiertest.Stand) (laneswap.Notifier, func() string) {
					out := &output{}
					return slognotify.New(slog.New(handler(out))), out.String
				},
			})
		})
	}
}

func TestNotifier_writesTransitionsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &output{}
		m := laneswap.NewManager(laneswap.WithNotifier(slognotify.New(plain(out))))
		require.NoError(t, m.Start(t.Context()))
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
		require.NoError(t, err)
		require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{}))
		time.Sleep(90 * time.Second)
		require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{}))
		require.NoError(t, m.Stop(context.Background()))
		require.Equal(t, `level=ERROR msg="svc is stale, was healthy, silent since 2000-01-01T00:00:00Z for 1m0s" notice=event kind=down service=svc from=healthy to=stale at=2000-01-01T00:01:00.000Z
level=INFO msg="svc recovered and is healthy after 30s, since 2000-01-01T00:01:00Z (it was: silent for longer than 1m0s)" notice=event kind=recovered service=svc from=stale to=healthy at=2000-01-01T00:01:30.000Z duration=30s
`, out.String())
	})
}

func TestNotifier_writesARecordForEachItem(t *testing.T) {
	t.Parallel()
	notes := notifiertest.Notifications(time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC))
	lines := func(n laneswap.Notification) []string {
		out := &output{}
		require.NoError(t, slognotify.New(plain(out)).Notify(t.Context(), n))
		return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	}
	for i, want := range map[int]string{
		2:  `level=ERROR msg="search is critical, was warning: index is read-only: disk 99.8 % full" notice=event kind=worse service=search from=warning to=critical at=2026-03-29T01:30:00.000Z`,
		3:  `level=WARN msg="search is degraded, was critical: shards: 4 of 5" notice=event kind=better service=search from=critical to=degraded at=2026-03-29T01:30:00.000Z`,
		5:  `level=INFO msg="mailer was stale for 40s, since 2026-03-29T01:29:20Z, and is healthy again (it was: silent for longer than 1m0s)" notice=event kind=recovered service=mailer from=stale to=healthy at=2026-03-29T01:30:00.000Z duration=40s earlier=1`,
		7:  `level=INFO msg="backup is unknown, was healthy (LaneSwap could not hear for 6h12m0s)" notice=event kind=unheard service=backup from=healthy to=unknown at=2026-03-29T01:30:00.000Z`,
		11: `level=WARN msg="vpn is flapping, 9 changes in 30 minutes, and is warning now: peer changed" notice=flapping kind=down service=vpn from=healthy to=warning at=2026-03-29T01:30:00.000Z flapping=9`,
	} {
		require.Equal(t, []string{want}, lines(notes[i]))
	}
	require.Contains(t, lines(notes[12])[0], "notice=reminder kind=down")
	require.Contains(t, lines(notes[12])[0], "reminder=4h0m0s")
	notes[12].Items[0].Reminder = 35102012387
	require.Contains(t, lines(notes[12])[0], "reminder=35.102s")
	require.Contains(t, lines(notes[13])[0], `level=INFO msg="This is a test message from LaneSwap. Nothing has happened. Alerts arrive here." notice=test`)

	digest := lines(notes[9])
	require.Len(t, digest, 12)
	require.Contains(t, digest[1], `level=ERROR msg="nightly import (import) is error, was healthy: could not open`)
	require.Contains(t, digest[2], "level=INFO msg=\"billing (billing@web-1) recovered")
	for _, line := range digest {
		require.Contains(t, line, " notice=digest ")
	}

	mass := lines(notes[10])
	require.Len(t, mass, 61)
	require.Equal(t, `level=ERROR msg="60 services fell silent at once: the cause may be LaneSwap or its network" notice=mass_silence services=60 finding="the default gateway does not answer; beats of 3 services on this host still arrive"`, mass[0])
	require.Contains(t, mass[60], "edge-59 is stale")
}

func TestNotifier_saysSomethingOfItemsWithoutText(t *testing.T) {
	t.Parallel()
	out := &output{}
	n := slognotify.New(plain(out))
	require.NoError(t, n.Notify(t.Context(), laneswap.Notification{Title: "title", Text: "text", Items: []laneswap.Item{{}}}))
	require.NoError(t, n.Notify(t.Context(), laneswap.Notification{Title: "title", Text: "text", Items: []laneswap.Item{{}, {Text: "own"}}}))
	require.Regexp(t, "(?s)msg=text .*msg=title .*msg=own ", out.String())
}

func TestNotifier_hasTheNameThatItWasGiven(t *testing.T) {
	t.Parallel()
	require.Equal(t, "slog", slognotify.New(nil).Name())
	require.Equal(t, "audit", slognotify.New(nil, slognotify.WithName("audit")).Name())
}
