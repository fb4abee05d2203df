package webhook_test

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/adapters/webhook"
)

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
	f.Add([]byte(`{"id":"m-1"}`), "n-1")
	f.Add([]byte(`{"id":1e999}`), "\x00\r\nX: y\xff%")
	f.Fuzz(func(t *testing.T, answer []byte, id string) {
		require.True(t, utf8.ValidString(webhook.Receipt(answer)))
		for _, c := range []byte(webhook.Printable(id)) {
			require.True(t, c > ' ' && c < 0x7f)
		}
	})
}
