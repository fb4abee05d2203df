package mongostore_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/mongostore"
	"github.com/laneswap/laneswap/internal/mongotest"
)

func TestStore_waitsForNoNameServer(t *testing.T) {
	t.Parallel()
	server, db := fresh(t, mongotest.Start(t))
	s := open(t, "mongodb+srv://canary:canary@h.example.org/"+db.Name(), mongostore.WithTimeout(200*time.Millisecond))

	// One that does not answer.
	release := make(chan struct{})
	s.SetDial(func() (*mongo.Client, error) {
		<-release
		return mongostore.Connect(server)
	})
	for name, err := range everything(t.Context(), s) {
		require.EqualError(t, err, "mongostore: connect: no answer within 200ms", name)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	for name, err := range everything(ctx, s) {
		require.ErrorIs(t, err, context.Canceled, name)
	}
	close(release)

	// One that knows nothing of the host.
	s.SetDial(func() (*mongo.Client, error) {
		return nil, fmt.Errorf("error parsing uri canary: %w", &net.DNSError{Err: "no such host", Name: "canary"})
	})
	for name, err := range everything(t.Context(), s) {
		require.ErrorContains(t, err, "mongostore: connect: the server cannot be used: no such host", name)
		require.NotContains(t, err.Error(), "canary")
	}

	// And one that does.
	s.SetDial(func() (*mongo.Client, error) { return mongostore.Connect(server) })
	require.NoError(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: []laneswap.Row{ours("a", noon)}}))
	require.Len(t, loaded(t, s), 1)
}
