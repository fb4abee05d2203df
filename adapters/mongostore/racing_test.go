package mongostore_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/mongostore"
	"github.com/laneswap/laneswap/internal/mongotest"
)

// race runs writers at once, each with a store of its own, and returns what they
// got.
func race(t *testing.T, uri string, writers int, write func(s *mongostore.Store, w int) error) []error {
	t.Helper()
	errs := make([]error, writers)
	stores := make([]*mongostore.Store, writers)
	for w := range stores {
		stores[w] = open(t, uri)
	}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() { errs[w] = write(stores[w], w) })
	}
	wg.Wait()
	return errs
}

func TestCommit_ofRacingInsertsHasOneWinner(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t)
	const writers = 6
	for _, kind := range []laneswap.Kind{laneswap.KindService, laneswap.KindEvent, laneswap.KindError} {
		uri, _ := fresh(t, server)
		errs := race(t, uri, writers, func(s *mongostore.Store, w int) error {
			b := laneswap.Batch{Epoch: 1}
			for i := range 3 {
				b.Insert = append(b.Insert, laneswap.Row{Kind: kind, ID: fmt.Sprint("row", i), Data: fmt.Append(nil, w)})
			}
			return s.Commit(t.Context(), b)
		})
		winner := -1
		for w, err := range errs {
			if err == nil {
				require.Negative(t, winner, "two of kind %s", kind)
				winner = w
				continue
			}
			require.ErrorIs(t, err, laneswap.ErrExists)
		}
		require.GreaterOrEqual(t, winner, 0)
		n := 0
		for row, err := range open(t, uri).Rows(t.Context(), laneswap.RowQuery{Kind: kind}) {
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(winner), string(row.Data))
			n++
		}
		require.Equal(t, 3, n)
	}
}

func TestCommit_ofRacingEpochsLeavesTheHighest(t *testing.T) {
	t.Parallel()
	server := mongotest.Start(t)
	const writers = 6
	for _, kind := range []laneswap.Kind{laneswap.KindService, laneswap.KindEvent} {
		uri, _ := fresh(t, server)
		row := laneswap.Row{Kind: kind, ID: "lease", At: noon, Open: true}
		errs := race(t, uri, writers, func(s *mongostore.Store, w int) error {
			for i := range 4 {
				row := row
				row.Data = fmt.Appendf(nil, `[%d,%d]`, w, i)
				if err := s.Commit(t.Context(), laneswap.Batch{Epoch: uint64(w + 1), Put: []laneswap.Row{row}}); err != nil {
					return err
				}
			}
			return nil
		})
		require.NoError(t, errs[writers-1], "nobody fences the highest")
		for _, err := range errs {
			if err != nil {
				require.ErrorIs(t, err, laneswap.ErrFenced)
			}
		}
		s := open(t, uri)
		require.Equal(t, fmt.Sprintf(`[%d,3]`, writers-1), string(loaded(t, s)[laneswap.Key{Kind: kind, ID: "lease"}].Data))
		behind := event("behind", `1`)
		for _, b := range []laneswap.Batch{
			{Epoch: writers - 1, Put: []laneswap.Row{row, behind, ours("behind", noon)}},
			{Epoch: writers - 1, Delete: []laneswap.Key{{Kind: kind, ID: "lease"}}, Seen: []laneswap.Seen{{Service: "behind", At: noon}}},
		} {
			require.ErrorIs(t, s.Commit(t.Context(), b), laneswap.ErrFenced)
		}
		require.Len(t, loaded(t, s), 1, "nothing behind it is written")
		require.NoError(t, s.Commit(t.Context(), laneswap.Batch{Epoch: writers, Delete: []laneswap.Key{{Kind: kind, ID: "lease"}}}))
		require.Empty(t, loaded(t, s))
	}
}

func TestCommit_ofRacingStoresKeepsTheLatestSeen(t *testing.T) {
	t.Parallel()
	uri, _ := fresh(t, mongotest.Start(t))
	const writers, services = 5, 400
	for _, err := range race(t, uri, writers, func(s *mongostore.Store, w int) error {
		var b laneswap.Batch
		b.Epoch = 1
		for i := range services {
			b.Seen = append(b.Seen, laneswap.Seen{Service: fmt.Sprint("service ", i), At: noon.Add(time.Duration((w+i)%writers) * time.Second)})
		}
		return s.Commit(t.Context(), b)
	}) {
		require.NoError(t, err)
	}
	rows := loaded(t, open(t, uri))
	require.Len(t, rows, services)
	for _, row := range rows {
		require.Equal(t, noon.Add((writers-1)*time.Second), row.At)
	}
}

func TestCommit_ofMoreThanAChunkOfEverything(t *testing.T) {
	t.Parallel()
	uri, db := fresh(t, mongotest.Start(t))
	s := open(t, uri, mongostore.WithChunk(7))
	const n = 20
	var b laneswap.Batch
	b.Epoch = 1
	for i := range n {
		b.Insert = append(b.Insert, event(fmt.Sprint("e", i), fmt.Sprint(i)), laneswap.Row{Kind: laneswap.KindError, ID: fmt.Sprint("x", i), Data: []byte(`{}`)})
		b.Put = append(b.Put, ours(fmt.Sprint("s", i), noon), laneswap.Row{Kind: "span", ID: fmt.Sprint(i), Open: true})
		b.Seen = append(b.Seen, laneswap.Seen{Service: fmt.Sprint("s", i), At: noon})
	}
	for range 2 { // inserted and matched alike
		require.NoError(t, s.Commit(t.Context(), b))
		require.Len(t, loaded(t, s), 3*n)
	}
	for name, want := range map[string]int64{"heartbeats": n, "errors": n, "laneswap_rows": 2 * n} {
		count, err := db.Collection(name).CountDocuments(t.Context(), bson.D{})
		require.NoError(t, err)
		require.Equal(t, want, count, name)
	}
	// In the middle of the second chunk.
	other := event("e10", `"other"`)
	inserts := append([]laneswap.Row(nil), b.Insert[:22]...)
	inserts[20] = other
	inserts = append(inserts, event("behind", `1`))
	require.ErrorIs(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Insert: inserts}), laneswap.ErrExists)
	var gone laneswap.Batch
	gone.Epoch = 1
	for i := range n {
		gone.Delete = append(gone.Delete, serviceKey(fmt.Sprint("s", i)), laneswap.Key{Kind: laneswap.KindSeen, ID: fmt.Sprint("s", i)}, laneswap.Key{Kind: "span", ID: fmt.Sprint(i)})
	}
	require.NoError(t, s.Commit(t.Context(), gone))
	require.Empty(t, loaded(t, s))
}

func TestOpen_refusesOptionsOutOfRange(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]mongostore.Option{
		"no chunk": mongostore.WithChunk(0), "chunk": mongostore.WithChunk(10_001), "timeout": mongostore.WithTimeout(0), "ttl": mongostore.WithTTL(time.Hour),
		"long ttl": mongostore.WithTTL(69 * 366 * 24 * time.Hour), "database": mongostore.WithDatabase("a b"), "long database": mongostore.WithDatabase(strings.Repeat("x", 64)),
		"same": mongostore.WithCollections("a", "a"), "none": mongostore.WithCollections("", "a"), "taken": mongostore.WithCollections("a", "laneswap_rows"), "logger": mongostore.WithLogger(nil),
	} {
		_, err := mongostore.Open("mongodb://h/", o)
		require.ErrorIs(t, err, mongostore.ErrInvalidOption, name)
	}
}

func TestOpen_choosesTheDatabase(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		uri, option, want string
	}{
		{"mongodb://h", "", "laneswap"},
		{"mongodb://h/", "", "laneswap"},
		{"mongodb://h/?w=1", "", "laneswap"},
		{"mongodb://u:p@h:1,i:2/mine?w=1", "", "mine"},
		{"mongodb://u:p@h:1/mine", "other", "other"},
		{"mongodb+srv://u:p@h.example.org/mine", "", "mine"},
		{"mongodb://%2Ftmp%2Fmongo.sock/mine", "", "mine"},
		{"mongodb://[::1]:27017/m%C3%BC", "", "mü"},
	} {
		var opts []mongostore.Option
		if tc.option != "" {
			opts = append(opts, mongostore.WithDatabase(tc.option))
		}
		s, err := mongostore.Open(tc.uri, opts...)
		require.NoError(t, err, tc.uri)
		require.Equal(t, tc.want, s.Database(), tc.uri)
		require.NoError(t, s.Close(t.Context()))
	}
}

func TestStore_usesTheCollectionsThatWereChosen(t *testing.T) {
	t.Parallel()
	uri, db := fresh(t, mongotest.Start(t))
	s := open(t, uri, mongostore.WithCollections("beats", "failures"))
	require.NoError(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: []laneswap.Row{ours("a", noon), {Kind: laneswap.KindError, ID: "b"}}}))
	for _, name := range []string{"beats", "failures"} {
		n, err := db.Collection(name).CountDocuments(t.Context(), bson.D{})
		require.NoError(t, err)
		require.EqualValues(t, 1, n, name)
	}
}

func TestCommit_refusesRowsThatTheContractDoesNotAllow(t *testing.T) {
	t.Parallel()
	uri, _ := fresh(t, mongotest.Start(t))
	s := open(t, uri)
	good := event("a", `1`)
	for name, change := range map[string]func(*laneswap.Row){
		"no kind": func(r *laneswap.Row) { r.Kind = "" }, "seen": func(r *laneswap.Row) { r.Kind = laneswap.KindSeen }, "long kind": func(r *laneswap.Row) { r.Kind = laneswap.Kind(strings.Repeat("x", 65)) },
		"no id": func(r *laneswap.Row) { r.ID = "" }, "nul": func(r *laneswap.Row) { r.ID = "\x00" }, "utf-8": func(r *laneswap.Row) { r.ID = "\xff" }, "long id": func(r *laneswap.Row) { r.ID = strings.Repeat("x", 513) },
		"service": func(r *laneswap.Row) { r.Service = "\xff" }, "time": func(r *laneswap.Row) { r.At = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "data": func(r *laneswap.Row) { r.Data = make([]byte, 1<<20+1) },
	} {
		row := good
		change(&row)
		require.ErrorIs(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Insert: []laneswap.Row{good, row}}), mongostore.ErrInvalidRow, name)
		require.ErrorIs(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: []laneswap.Row{good, row}}), mongostore.ErrInvalidRow, name)
	}
	for name, b := range map[string]laneswap.Batch{
		"no epoch": {Insert: []laneswap.Row{good}}, "epoch": {Epoch: 1 << 63, Insert: []laneswap.Row{good}},
		"key": {Epoch: 1, Insert: []laneswap.Row{good}, Delete: []laneswap.Key{{}}}, "seen": {Epoch: 1, Insert: []laneswap.Row{good}, Seen: []laneswap.Seen{{}}},
	} {
		require.ErrorIs(t, s.Commit(t.Context(), b), mongostore.ErrInvalidRow, name)
	}
	for range s.Rows(t.Context(), laneswap.RowQuery{Kind: good.Kind}) {
		t.Fatal("something was written")
	}
}
