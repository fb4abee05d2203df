package mongotest_test

import (
	"net"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/mongotest"
)

func TestServer_listensUntilItIsKilledAndAgainOnTheSamePort(t *testing.T) {
	t.Parallel()
	s := mongotest.New(t)
	uri, err := url.Parse(s.URI())
	require.NoError(t, err)
	answers := func() error {
		conn, err := net.Dial("tcp", uri.Host)
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	require.NoError(t, answers())
	s.Start()
	s.Kill()
	require.Error(t, answers())
	s.Kill()
	s.Start()
	require.NoError(t, answers())
	s.Restart()
	require.NoError(t, answers())
	require.Equal(t, uri.String(), s.URI())
}

func TestWithDatabase_replacesThePathAndNothingElse(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"mongodb://h:1":                      "mongodb://h:1/x",
		"mongodb://h:1/":                     "mongodb://h:1/x",
		"mongodb://u:p@h:1,i:2/old?a=b&c=/d": "mongodb://u:p@h:1,i:2/x?a=b&c=/d",
		"mongodb+srv://h/?a=b":               "mongodb+srv://h/x?a=b",
		"mongodb://h?a=b":                    "mongodb://h/x?a=b",
	} {
		require.Equal(t, want, mongotest.WithDatabase(uri, "x"))
	}
	first := mongotest.Fresh("mongodb://h/")
	require.NotEqual(t, first, mongotest.Fresh("mongodb://h/"))
}
