package client_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/client"
)

func TestDefaultID_isNameAtHost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, host, want string }{
		{"billing", "web-1", "billing@web-1"},
		{"nightly backup", "web-1.example.com", "nightly-backup@web-1.example.com"},
		{"a/b\\c", "h", "a-b-c@h"},
		{"a..b", "h", "a.b@h"},
		{"--x--", "-h-", "x@h"},
		{"job:1@eu", "h", "job:1@eu@h"},
	} {
		require.Equal(t, laneswap.ServiceID(c.want), client.MakeID(c.name, c.host), c.name)
	}
	host, err := os.Hostname()
	require.NoError(t, err)
	require.Equal(t, client.MakeID("billing", host), client.DefaultID("billing"))
}

func TestDefaultID_isAlwaysAnIDAndKeepsNamesApart(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 200)
	seen := map[laneswap.ServiceID]string{}
	for _, name := range []string{
		"", "платежи", "отчёты", "支払い", "Köln", "Kùln", "..", "@", "\x00", "\xff\xfe", long + "1", long + "2", strings.Repeat("-", 300) + "x", "../../etc",
	} {
		for _, host := range []string{"h", "", "ü", strings.Repeat("host", 50) + "1", strings.Repeat("host", 50) + "2", strings.Repeat("h.", 64)} {
			id := client.MakeID(name, host)
			require.NoError(t, laneswap.ValidateServiceID(id), "%q at %q", name, host)
			require.Equal(t, id, client.MakeID(name, host), "it is the same each time")
			before, taken := seen[id]
			require.False(t, taken, "%q at %q has the id %s of %s", name, host, id, before)
			seen[id] = name + " at " + host
		}
	}
}

func FuzzDefaultID(f *testing.F) {
	f.Add("billing", "web-1")
	f.Add("..-", "é")
	f.Fuzz(func(t *testing.T, name, host string) {
		require.NoError(t, laneswap.ValidateServiceID(client.MakeID(name, host)), "%q at %q", name, host)
	})
}
