package laneswap_test

import (
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

func notificationOfTwo() laneswap.Notification {
	at := time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)
	down := laneswap.Event{
		ID: "billing/1/1", Sequence: 41, Kind: laneswap.EventDown, Service: "billing", Name: "Billing", Tags: []string{"shop"},
		From: laneswap.StatusHealthy, To: laneswap.StatusStale, At: at, Incident: "billing/1", StartedAt: at,
		SilentSince: at.Add(-time.Minute), Cause: "silent for longer than 1m0s",
	}
	back := down
	back.ID, back.Sequence, back.Kind, back.From, back.To = "billing/1/2", 42, laneswap.EventRecovered, laneswap.StatusStale, laneswap.StatusHealthy
	back.At, back.SilentSince, back.Duration = at.Add(90*time.Second), time.Time{}, 90*time.Second
	still := laneswap.Event{ID: "web/7/1", Sequence: 12, Kind: laneswap.EventDown, Service: "web", Name: "web", From: laneswap.StatusHealthy, To: laneswap.StatusError, Message: "no", At: at, Incident: "web/7", StartedAt: at}
	return laneswap.Notification{
		ID: "n-1", Kind: laneswap.NoticeDigest, Title: "2 services", Text: "2 services\nBilling ...\nweb ...", Finding: "the network was away", Attempt: 3,
		Event: back,
		Items: []laneswap.Item{
			{Event: back, Earlier: []laneswap.Event{down}, Text: "Billing ..."},
			{Event: still, Flapping: 6, Reminder: 90 * time.Minute, Text: "web ..."},
		},
	}
}

func TestNotification_travelsAsJSONAndBack(t *testing.T) {
	t.Parallel()
	for _, n := range []laneswap.Notification{notificationOfTwo(), {ID: "empty", Kind: laneswap.NoticeTest}, {Items: []laneswap.Item{{}}}} {
		data, err := json.Marshal(n)
		require.NoError(t, err)
		var back laneswap.Notification
		require.NoError(t, json.Unmarshal(data, &back))
		require.Equal(t, n, back)
		again, err := json.Marshal(&back)
		require.NoError(t, err)
		require.Equal(t, string(data), string(again), "of a pointer as of a value")
	}
}

// What receivers read; keys that are absent are null, lists are never null.
func TestNotification_jsonHasTheDocumentedShape(t *testing.T) {
	t.Parallel()
	n := notificationOfTwo()
	data, err := json.Marshal(n)
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"n-1","kind":"digest","title":"2 services","text":"2 services\nBilling ...\nweb ...","finding":"the network was away","attempt":3,"items":[
		{"event":{"id":"billing/1/2","sequence":42,"kind":"recovered","service":"billing","name":"Billing","tags":["shop"],"from":"stale","to":"healthy",
			"message":null,"timestamp":"2026-01-02T03:05:35.6Z","incident":"billing/1","started_at":"2026-01-02T03:04:05.6Z","silent_since":null,
			"cause":"silent for longer than 1m0s","duration":90},
		 "earlier":[{"id":"billing/1/1","sequence":41,"kind":"down","service":"billing","name":"Billing","tags":["shop"],"from":"healthy","to":"stale",
			"message":null,"timestamp":"2026-01-02T03:04:05.6Z","incident":"billing/1","started_at":"2026-01-02T03:04:05.6Z","silent_since":"2026-01-02T03:03:05.6Z",
			"cause":"silent for longer than 1m0s","duration":null}],
		 "flapping":0,"reminder":null,"text":"Billing ..."},
		{"event":{"id":"web/7/1","sequence":12,"kind":"down","service":"web","name":"web","from":"healthy","to":"error","message":"no",
			"timestamp":"2026-01-02T03:04:05.6Z","incident":"web/7","started_at":"2026-01-02T03:04:05.6Z","silent_since":null,"cause":null,"duration":null},
		 "earlier":[],"flapping":6,"reminder":5400,"text":"web ..."}]}`, string(data))

	data, err = json.Marshal(laneswap.Notification{})
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"","kind":"","title":"","text":"","finding":null,"attempt":0,"items":[]}`, string(data))
	require.Error(t, json.Unmarshal([]byte(`{"items":{}}`), new(laneswap.Notification)))
	require.Error(t, json.Unmarshal([]byte(`{"reminder":"1h"}`), new(laneswap.Item)))
}

func FuzzNotification_json(f *testing.F) {
	data, err := json.Marshal(notificationOfTwo())
	require.NoError(f, err)
	f.Add(data, "text")
	f.Add([]byte(`{"items":[{"earlier":null,"reminder":1e300}]}`), "\xff\x00\u202e\ud7ff")
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		var n laneswap.Notification
		if json.Unmarshal(data, &n) != nil {
			n = notificationOfTwo()
		}
		n.Text = text
		out, err := json.Marshal(n)
		require.NoError(t, err)
		require.True(t, utf8.Valid(out))
		var back laneswap.Notification
		require.NoError(t, json.Unmarshal(out, &back))
		require.Len(t, back.Items, len(n.Items))
		require.Equal(t, n.ID, back.ID)
	})
}
