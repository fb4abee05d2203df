package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/mongostore"
	"github.com/laneswap/laneswap/config"
	"github.com/laneswap/laneswap/internal/mongotest"
	"github.com/laneswap/laneswap/server"
)

// inMongoDB are settings whose state is kept in MongoDB, as they are when nothing
// but the URI is set.
func inMongoDB(uri, database string) config.Config {
	return settings(func(c *config.Config) { c.Storage, c.MongoDBURI, c.MongoDBDatabase = "", config.Secret(uri), database })
}

func TestServer_keepsItsStateInMongoDBWhereItHasOne(t *testing.T) {
	t.Parallel()
	uri := mongotest.Start(t)
	u, err := url.Parse(uri)
	require.NoError(t, err)
	// The setting counts, not the path of the URI, which may say where users are kept.
	database := strings.TrimPrefix(u.Path, "/") + "_set"
	cfg := inMongoDB(uri, database)
	s := run(t, cfg)
	code, _ := get(t, s.URL()+"/readyz")
	require.Equal(t, http.StatusOK, code)
	_, err = s.Manager().Register(t.Context(), laneswap.Registration{ID: "billing", Name: "Billing"})
	require.NoError(t, err)
	_, err = s.Manager().Report(t.Context(), "billing", laneswap.Heartbeat{Status: laneswap.StatusWarning})
	require.NoError(t, err)
	s.stop()
	require.NoError(t, <-s.done)
	require.Regexp(t, `(?m)msg=listening url=\S+ address=\S+ storage=mongodb database=`+database+` notifiers=slog$`, s.log.String())
	require.NotContains(t, s.log.String(), "mongodb://")

	s = run(t, cfg)
	code, body := get(t, s.URL()+"/api/services/billing")
	require.Equal(t, http.StatusOK, code, body)
	require.Contains(t, body, `"status":"warning"`)
}

func TestServer_startsWhileItsMongoDBIsAway(t *testing.T) {
	t.Parallel()
	s := run(t, inMongoDB("mongodb://ada:hunter2@127.0.0.1:1/", "watch"))
	code := 0
	require.Eventually(t, func() bool {
		code, _ = get(t, s.URL()+"/api/services/billing")
		return code != 0
	}, 20*time.Second, time.Millisecond)
	require.Equal(t, http.StatusServiceUnavailable, code, "nobody knows who is registered")
	begun := time.Now()
	s.stop()
	<-s.done // with or without an error: nothing could be stored
	require.Less(t, time.Since(begun), 10*time.Second)
	require.NotContains(t, s.log.String(), "hunter2")
	require.NotContains(t, s.log.String(), "ada")
}

func TestOpen_ofABadURISaysNothingOfIt(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{
		"mongodb://ada:hunter2@db:port/", "mongodb://ada:hun@ter2@db/", "mongodb://ada:hunter2@db/?tls=perhaps", "mongodb://", "mysql://ada:hunter2@db",
	} {
		_, err := server.Open(inMongoDB(uri, "watch"))
		require.ErrorContains(t, err, "server: cannot use MongoDB: invalid MongoDB URI: ")
		require.ErrorIs(t, err, mongostore.ErrInvalidURI)
		require.ErrorContains(t, err, "LANESWAP_MONGODB_URI")
		for _, secret := range []string{"hunter2", "hun@", "ada"} {
			require.NotContains(t, err.Error(), secret)
		}
	}
	_, err := server.Open(inMongoDB("mongodb://db", "a/b"))
	require.ErrorContains(t, err, "the name of the database")
	require.ErrorContains(t, err, "--mongodb-database")
}
