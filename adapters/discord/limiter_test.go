package discord_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/adapters/discord"
)

func TestRetryAfter_isReadAsSeconds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body, header string
		want         time.Duration
		silent       bool
	}{
		"as documented":                      {body: `{"retry_after":64.57}`, header: "65", want: 65 * time.Second},
		"a fraction alone":                   {body: `{"retry_after":0.376}`, want: 376 * time.Millisecond},
		"a fraction of nothing":              {body: `{"retry_after":2.0}`, want: 2 * time.Second},
		"an exponent":                        {body: `{"retry_after":1.5e3}`, want: 1500 * time.Second},
		"a limit of the channel":             {body: `{"retry_after":1336.57}`, header: "1337", want: 1337 * time.Second},
		"whole seconds":                      {body: `{"retry_after":600}`, header: "600", want: 600 * time.Second},
		"whole seconds, alone":               {body: `{"retry_after":1337}`, want: 1337 * time.Second},
		"whole seconds, another header":      {body: `{"retry_after":64}`, header: "65", want: 65 * time.Second},
		"a string":                           {body: `{"retry_after":"1.5"}`, want: 1500 * time.Millisecond},
		"a header alone":                     {header: "7", want: 7 * time.Second},
		"a header and a page":                {body: "<html>", header: "3600", want: time.Hour},
		"a header with a fraction":           {header: "0.5", want: 500 * time.Millisecond},
		"nothing":                            {body: `{"code":0}`, silent: true},
		"null":                               {body: `{"retry_after":null}`, silent: true},
		"less than nothing":                  {body: `{"retry_after":-1}`, header: "-5", silent: true},
		"not a number":                       {body: `{"retry_after":"soon"}`, header: "soon", silent: true},
		"not a number as numbers can be":     {body: `{"retry_after":1}`, header: "NaN", want: time.Second},
		"more than a Duration holds":         {header: strings.Repeat("9", 400), want: 24 * time.Hour},
		"a body that is not an object":       {body: `[1]`, header: "4", want: 4 * time.Second},
		"a body that is not JSON, no header": {body: "error code: 1015", silent: true},
	} {
		h := http.Header{}
		if tc.header != "" {
			h.Set("Retry-After", tc.header)
		}
		got, ok := discord.RetryAfterOf(h, tc.body)
		require.Equal(t, !tc.silent, ok, name)
		require.Equal(t, tc.want, got, name)
	}
	d, ok := discord.RetryAfterOf(http.Header{"Retry-After": {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}}, "")
	require.True(t, ok)
	require.InDelta(t, time.Hour, d, float64(5*time.Second))
}
