package webhook_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/adapters/webhook"
)

// signed is what a post carries, computed as the documentation says.
func signed(secret, stamp string, body []byte) http.Header {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%s.%s", stamp, body)
	return http.Header{"Laneswap-Timestamp": {stamp}, "Laneswap-Signature": {"sha256=" + hex.EncodeToString(mac.Sum(nil))}}
}

func TestVerify_takesWhatIsSignedAndNothingElse(t *testing.T) {
	t.Parallel()
	body, stamp := []byte(`{"id":"n-1"}`), strconv.FormatInt(now.Unix(), 10)
	good := signed("s3cret", stamp, body)
	require.NoError(t, webhook.Verify("s3cret", good, body, now, 0))
	require.NoError(t, webhook.Verify("s3cret", good, body, now.Add(5*time.Minute), 0))
	require.NoError(t, webhook.Verify("s3cret", good, body, now.Add(-5*time.Minute), 0))
	require.NoError(t, webhook.Verify("s3cret", good, body, now.Add(time.Hour), 2*time.Hour))

	with := func(change func(h http.Header)) http.Header {
		h := good.Clone()
		change(h)
		return h
	}
	sum := strings.TrimPrefix(good.Get("LaneSwap-Signature"), "sha256=")
	flipped := "0"
	if strings.HasSuffix(sum, "0") {
		flipped = "1"
	}
	for name, tc := range map[string]struct {
		secret string
		header http.Header
		body   []byte
		now    time.Time
	}{
		"other secret":         {"S3cret", good, body, now},
		"no secret":            {"", signed("", stamp, body), body, now},
		"other body":           {"s3cret", good, []byte(`{"id":"n-2"}`), now},
		"longer body":          {"s3cret", good, append(bytes.Clone(body), '\n'), now},
		"too old":              {"s3cret", good, body, now.Add(5*time.Minute + time.Second)},
		"too new":              {"s3cret", good, body, now.Add(-5*time.Minute - time.Second)},
		"other time":           {"s3cret", with(func(h http.Header) { h.Set("LaneSwap-Timestamp", strconv.FormatInt(now.Unix()+1, 10)) }), body, now},
		"dot moved":            {"s3cret", with(func(h http.Header) { h.Set("LaneSwap-Timestamp", stamp+".{") }), body[1:], now},
		"no timestamp":         {"s3cret", with(func(h http.Header) { h.Del("LaneSwap-Timestamp") }), body, now},
		"no signature":         {"s3cret", with(func(h http.Header) { h.Del("LaneSwap-Signature") }), body, now},
		"two signatures":       {"s3cret", with(func(h http.Header) { h.Add("LaneSwap-Signature", h.Get("LaneSwap-Signature")) }), body, now},
		"two timestamps":       {"s3cret", with(func(h http.Header) { h.Add("LaneSwap-Timestamp", stamp) }), body, now},
		"other algorithm":      {"s3cret", with(func(h http.Header) { h.Set("LaneSwap-Signature", "sha1="+sum) }), body, now},
		"no algorithm":         {"s3cret", with(func(h http.Header) { h.Set("LaneSwap-Signature", sum) }), body, now},
		"short":                {"s3cret", with(func(h http.Header) { h.Set("LaneSwap-Signature", "sha256="+sum[:62]) }), body, now},
		"empty":                {"s3cret", with(func(h http.Header) { h.Set("LaneSwap-Signature", "sha256=") }), body, now},
		"long":                 {"s3cret", with(func(h http.Header) { h.Set("LaneSwap-Signature", "sha256="+sum+"00") }), body, now},
		"not hexadecimal":      {"s3cret", with(func(h http.Header) { h.Set("LaneSwap-Signature", "sha256="+strings.Repeat("x", 64)) }), body, now},
		"one digit":            {"s3cret", with(func(h http.Header) { h.Set("LaneSwap-Signature", "sha256="+sum[:63]+flipped) }), body, now},
		"timestamp of nothing": {"s3cret", signed("s3cret", "", body), body, now},
		"timestamp of words":   {"s3cret", signed("s3cret", "now", body), body, now},
		"timestamp with sign":  {"s3cret", signed("s3cret", "+"+stamp, body), body, now},
		"timestamp too large":  {"s3cret", signed("s3cret", "99999999999999999999", body), body, now},
		"timestamp in ms":      {"s3cret", signed("s3cret", stamp+"000", body), body, now},
	} {
		err := webhook.Verify(tc.secret, tc.header, tc.body, tc.now, 0)
		require.ErrorIs(t, err, webhook.ErrSignature, name)
		require.NotContains(t, err.Error(), "s3cret", name)
		require.NotContains(t, err.Error(), sum[:16], name)
	}
}

func FuzzVerify_takesNothingForged(f *testing.F) {
	body, stamp := []byte(`{"id":"n-1"}`), strconv.FormatInt(now.Unix(), 10)
	good := signed("s3cret", stamp, body)
	f.Add(stamp, good.Get("LaneSwap-Signature"), body)
	f.Add("", "sha256=", []byte{})
	f.Add("-1", "sha256="+strings.Repeat("0", 64), []byte("."))
	f.Fuzz(func(t *testing.T, stampOf, signature string, bodyOf []byte) {
		h := http.Header{"Laneswap-Timestamp": {stampOf}, "Laneswap-Signature": {signature}}
		err := webhook.Verify("s3cret", h, bodyOf, now, 0)
		same := stampOf == stamp && bytes.Equal(bodyOf, body) && strings.EqualFold(signature[min(7, len(signature)):], good.Get("LaneSwap-Signature")[7:])
		if !same {
			require.ErrorIs(t, err, webhook.ErrSignature)
		}
	})
}
