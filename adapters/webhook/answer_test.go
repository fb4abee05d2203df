package webhook_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/adapters/webhook"
)

func TestRetryAfter_isSecondsOrADate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"0": 0, "1": time.Second, " 120 ": 2 * time.Minute, "86400": 24 * time.Hour, "86401": webhook.MaxDelay,
		"4294967295": webhook.MaxDelay, "4294967296": webhook.MaxDelay, "99999999999999999999999": webhook.MaxDelay,
		now.Add(time.Minute).Format(http.TimeFormat):     time.Minute,
		now.Add(time.Minute).Format(time.ANSIC):          time.Minute,
		now.Add(300 * time.Hour).Format(http.TimeFormat): webhook.MaxDelay,
	} {
		d, ok := webhook.RetryAfter(text, now)
		require.True(t, ok, text)
		require.Equal(t, want, d, text)
	}
	for _, text := range []string{
		"", " ", "-1", "+1", "1.5", "0x10", "1e3", "soon", "１２０", strings.Repeat("1", 41),
		now.Format(http.TimeFormat), now.Add(-time.Hour).Format(http.TimeFormat), now.Add(time.Hour).Format(time.RFC3339),
	} {
		_, ok := webhook.RetryAfter(text, now)
		require.False(t, ok, text)
	}
}

func TestReceipt_isTheIDOfAnObject(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		`{"id":"m-1"}`: "m-1", `{"id":4711}`: "4711", ` {"x":[{}],"id": 12345678901234567890 } `: "12345678901234567890", `{"id":1.50}`: "1.50", `{"ID":"a"}`: "a",
		"": "", "ok": "", `"id"`: "", `[{"id":1}]`: "", `{"id":null}`: "", `{"id":{}}`: "", `{"id":[1]}`: "", `{"id":true}`: "", `{"id":"a"`: "", `{"id":"a"}{}`: "", "<html>": "",
	} {
		require.Equal(t, want, webhook.Receipt([]byte(answer)), answer)
	}
}

func FuzzAnswer_isReadWhateverItHolds(f *testing.F) {
	f.Add("120", []byte(`{"id":"m-1"}`), "n-1")
	f.Add(now.Format(http.TimeFormat), []byte(`{"id":1e999}`), "\x00\r\nX: y\xff%")
	f.Fuzz(func(t *testing.T, after string, answer []byte, id string) {
		d, ok := webhook.RetryAfter(after, now)
		require.True(t, ok || d == 0)
		require.GreaterOrEqual(t, d, time.Duration(0))
		require.LessOrEqual(t, d, webhook.MaxDelay)
		require.True(t, utf8.ValidString(webhook.Receipt(answer)))
		for _, c := range []byte(webhook.Printable(id)) {
			require.True(t, c > ' ' && c < 0x7f)
		}
	})
}
