package mongostore_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	monitor "go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/mongostore"
	"github.com/laneswap/laneswap/internal/mongotest"
)

// interrupted opens a store that runs something before it first sends a command
// of some name, once it is told to.
func interrupted(t *testing.T, uri, database, command string, meanwhile func()) (s *mongostore.Store, armed *sync.Once) {
	t.Helper()
	s = open(t, "mongodb+srv://h.example.org/"+database)
	armed = &sync.Once{}
	armed.Do(func() {})
	s.SetDial(func() (*mongo.Client, error) {
		return mongo.Connect(options.Client().ApplyURI(uri).SetWriteConcern(writeconcern.Majority()).SetMonitor(&monitor.CommandMonitor{
			Started: func(_ context.Context, e *monitor.CommandStartedEvent) {
				if e.CommandName == command {
					armed.Do(meanwhile)
				}
			},
		}))
	})
	require.Empty(t, loaded(t, s))
	return s, armed
}

func TestCommit_seesWhatOthersDoBetweenItsLookAndItsWrite(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t)
	for _, kind := range []laneswap.Kind{laneswap.KindService, "span"} {
		row := func(data string) laneswap.Row {
			return laneswap.Row{Kind: kind, ID: "a", Service: "a", At: noon, Open: true, Data: []byte(data)}
		}
		key := laneswap.Key{Kind: kind, ID: "a"}
		put := func(epoch uint64, data string) laneswap.Batch {
			return laneswap.Batch{Epoch: epoch, Put: []laneswap.Row{row(data)}}
		}
		remove := func(epoch uint64) laneswap.Batch {
			return laneswap.Batch{Epoch: epoch, Delete: []laneswap.Key{key}}
		}
		for name, tc := range map[string]struct {
			command            string
			before, other, own laneswap.Batch
			err                error
			left               string // the data of the row, "" when there is none
		}{
			"a newer writer puts what is put":        {"update", put(1, `0`), put(2, `2`), put(1, `1`), laneswap.ErrFenced, `2`},
			"a newer writer inserts what is put":     {"insert", laneswap.Batch{}, put(2, `2`), put(1, `1`), laneswap.ErrFenced, `2`},
			"a newer writer puts what is deleted":    {"delete", put(1, `0`), put(2, `2`), remove(1), laneswap.ErrFenced, `2`},
			"another writer inserts what is put":     {"insert", laneswap.Batch{}, put(1, `2`), put(1, `1`), nil, `1`},
			"another writer deletes what is put":     {"update", put(1, `0`), remove(1), put(1, `1`), nil, `1`},
			"another writer deletes what is deleted": {"delete", put(1, `0`), remove(1), remove(1), nil, ""},
			"another writer inserts what is inserted": {
				"insert", laneswap.Batch{}, laneswap.Batch{Epoch: 1, Insert: []laneswap.Row{row(`2`)}},
				laneswap.Batch{Epoch: 1, Insert: []laneswap.Row{row(`1`)}}, laneswap.ErrExists, `2`,
			},
		} {
			uri, db := fresh(t, server)
			other := open(t, uri)
			s, armed := interrupted(t, uri, db.Name(), tc.command, func() {
				if err := other.Commit(t.Context(), tc.other); err != nil {
					t.Errorf("%s: the other: %v", name, err)
				}
			})
			if tc.before.Epoch > 0 {
				require.NoError(t, other.Commit(t.Context(), tc.before))
			}
			*armed = sync.Once{} // from now on
			err := s.Commit(t.Context(), tc.own)
			require.ErrorIs(t, err, tc.err, "%s, %s", kind, name)
			got := loaded(t, s)
			require.Equal(t, tc.left, string(got[key].Data), "%s, %s", kind, name)
			armed.Do(func() { t.Errorf("%s, %s: nobody came between", kind, name) })
		}
	}
}
