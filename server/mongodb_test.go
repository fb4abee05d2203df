package server_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/adapters/mongostore"
	"github.com/laneswap/laneswap/config"
	"github.com/laneswap/laneswap/server"
)

// inMongoDB are settings whose state is kept in MongoDB, as they are when nothing
// but the URI is set.
func inMongoDB(uri, database string) config.Config {
	return settings(func(c *config.Config) { c.Storage, c.MongoDBURI, c.MongoDBDatabase = "", config.Secret(uri), database })
}

func TestServer_startsWhileItsMongoDBIsAway(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a Manager waits 5 seconds for its storage")
	}
	t.Parallel()
	s := run(t, inMongoDB("mongodb://ada:hunter2@127.0.0.1:1/", "watch"), server.WithQuickStop())
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
