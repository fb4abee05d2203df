package mongostore_test

import (
	"context"
	"flag"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/mongostore"
	"github.com/laneswap/laneswap/adapters/storagetest"
	"github.com/laneswap/laneswap/internal/mongotest"
)

var noon = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)

// open opens a store as tests need it: with chunks that the test server can take in
// time, and without a server that deletes old rows. It is closed with the test.
func open(t testing.TB, uri string, opts ...mongostore.Option) *mongostore.Store {
	t.Helper()
	s, err := mongostore.Open(uri, append([]mongostore.Option{mongostore.WithChunk(50), mongostore.WithTTL(0), mongostore.WithTimeout(time.Minute)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	return s
}

// fresh returns a URI of a server with a new database, and the database as other
// programs see it. It is dropped with the test.
func fresh(t testing.TB, uri string) (string, *mongo.Database) {
	t.Helper()
	uri = mongotest.Fresh(uri)
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	require.NoError(t, err)
	s, err := mongostore.Open(uri)
	require.NoError(t, err)
	require.NoError(t, s.Close(t.Context()))
	db := client.Database(s.Database())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if mongotest.External() != "" {
			require.NoError(t, db.Drop(ctx))
		}
		require.NoError(t, client.Disconnect(ctx))
	})
	return uri, db
}

// contractScale is 1 for the contract in full, which takes minutes.
var contractScale = flag.Int("contract-scale", 6, "what the large tests of the contract are divided by")

func TestStore_keepsTheContract(t *testing.T) {
	t.Parallel()
	// A server uses one core.
	servers := []string{mongotest.Start(t), mongotest.Start(t)}
	var opened atomic.Uint32
	var mu sync.Mutex
	homes := map[string]string{} // by database
	storagetest.Run(t,
		func(t *testing.T) laneswap.Storage {
			uri, db := fresh(t, servers[int(opened.Add(1))%len(servers)])
			mu.Lock()
			homes[db.Name()] = uri
			mu.Unlock()
			return open(t, uri)
		},
		storagetest.WithReopen(func(t *testing.T, s laneswap.Storage) laneswap.Storage {
			store := s.(*mongostore.Store)
			require.NoError(t, store.Close(t.Context()))
			mu.Lock()
			defer mu.Unlock()
			return open(t, homes[store.Database()])
		}),
		storagetest.WithScale(*contractScale),
		storagetest.WithPatience(5*time.Minute))
}

// BenchmarkStore needs a MongoDB: numbers of the test server, whose updates take
// milliseconds each, say nothing about it.
func BenchmarkStore(b *testing.B) {
	if mongotest.External() == "" {
		b.Skip("set LANESWAP_TEST_MONGODB_URI to measure a server")
	}
	storagetest.Benchmark(b, func(b *testing.B) laneswap.Storage {
		uri, _ := fresh(b, mongotest.External())
		s, err := mongostore.Open(uri, mongostore.WithTTL(0))
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, s.Close(context.Background())) })
		return s
	})
}
