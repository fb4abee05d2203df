package mongostore_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/mongostore"
	"github.com/laneswap/laneswap/internal/mongotest"
)

// loaded is what Load yields, by kind and id.
func loaded(t testing.TB, s laneswap.Storage) map[laneswap.Key]laneswap.Row {
	t.Helper()
	rows := map[laneswap.Key]laneswap.Row{}
	for row, err := range s.Load(t.Context()) {
		require.NoError(t, err)
		key := laneswap.Key{Kind: row.Kind, ID: row.ID}
		require.NotContains(t, rows, key, "yielded twice")
		rows[key] = row
	}
	return rows
}

func services(t testing.TB, s laneswap.Storage, q laneswap.RowQuery) []laneswap.Row {
	t.Helper()
	q.Kind = laneswap.KindService
	var rows []laneswap.Row
	for row, err := range s.Rows(t.Context(), q) {
		require.NoError(t, err)
		rows = append(rows, row)
	}
	return rows
}

func serviceKey(id string) laneswap.Key {
	return laneswap.Key{Kind: laneswap.KindService, ID: id}
}

// heartbeat is the document of a service as other readers see it.
func heartbeat(t testing.TB, db *mongo.Database, id string) bson.M {
	t.Helper()
	var doc bson.M
	require.NoError(t, db.Collection("heartbeats").FindOne(t.Context(), bson.D{{Key: "id", Value: id}}).Decode(&doc))
	return doc
}

// pythonDocuments are services as Python deployments have written them over the
// years, and things that are none.
func pythonDocuments() []any {
	return []any{
		bson.D{
			{Key: "id", Value: "a1b2"}, {Key: "name", Value: "billing"}, {Key: "status", Value: "healthy"}, {Key: "message", Value: "ok"},
			{Key: "metadata", Value: bson.D{{Key: "host", Value: "web-1"}, {Key: "cpu", Value: 0.5}, {Key: "pid", Value: int32(7)}, {Key: "tags", Value: bson.A{"x", bson.D{{Key: "y", Value: nil}}}}, {Key: "since", Value: bson.DateTime(noon.UnixMilli())}}},
			{Key: "created_at", Value: noon.Add(-time.Hour)}, {Key: "last_heartbeat", Value: noon.Add(5 * time.Second)}, {Key: "owner", Value: "team a"},
		},
		bson.D{
			{Key: "id", Value: "naive"}, {Key: "name", Value: "as text"}, {Key: "status", Value: "warning"}, {Key: "message", Value: nil}, {Key: "metadata", Value: nil},
			{Key: "created_at", Value: "2024-02-29T11:00:00.123456"}, {Key: "last_heartbeat", Value: "2024-02-29T13:00:03.5+01:00"},
		},
		bson.D{{Key: "id", Value: "never beat"}, {Key: "name", Value: "new"}, {Key: "created_at", Value: "2024-02-29 12:00:01"}, {Key: "last_heartbeat", Value: nil}},
		bson.D{{Key: "id", Value: "odd ü 🫀/%"}, {Key: "last_heartbeat", Value: float64(noon.Unix()) + 4.25}},
		bson.D{{Key: "id", Value: "bare"}},
		bson.D{{Key: "name", Value: "without an id"}, {Key: "last_heartbeat", Value: noon}},
		bson.D{{Key: "id", Value: 17}},
		bson.D{{Key: "id", Value: strings.Repeat("x", 513)}},
		bson.D{{Key: "id", Value: ""}},
	}
}

// pythonRows are the rows that become of them, in order.
func pythonRows() []laneswap.Row {
	row := func(id string, at time.Time, data string) laneswap.Row {
		return laneswap.Row{Kind: laneswap.KindService, ID: id, Service: id, At: at, Open: true, Data: []byte(data)}
	}
	return []laneswap.Row{
		row("bare", time.Time{}, `{"id":"bare"}`),
		row("never beat", noon.Add(time.Second), `{"id":"never beat","name":"new","created_at":"2024-02-29T12:00:01Z"}`),
		row("naive", noon.Add(3500*time.Millisecond), `{"id":"naive","name":"as text","status":"warning","created_at":"2024-02-29T11:00:00.123Z","last_heartbeat":"2024-02-29T12:00:03.5Z"}`),
		row("odd ü 🫀/%", noon.Add(4250*time.Millisecond), `{"id":"odd ü 🫀/%","last_heartbeat":"2024-02-29T12:00:04.25Z"}`),
		row("a1b2", noon.Add(5*time.Second), `{"id":"a1b2","name":"billing","status":"healthy","message":"ok","metadata":{"cpu":0.5,"host":"web-1","pid":7,"since":"2024-02-29T12:00:00Z","tags":["x",{"y":null}]},"created_at":"2024-02-29T11:00:00Z","last_heartbeat":"2024-02-29T12:00:05Z"}`),
	}
}

// ours is a row of a service as the Manager writes it.
func ours(id string, at time.Time) laneswap.Row {
	return laneswap.Row{
		Kind: laneswap.KindService, ID: id, Service: id, At: at, Open: true,
		Data: []byte(`{"v":1, "id":"` + id + `","name":"ours","status":"error","message":"disk full","metadata":{"a":{"b":[1,2.5,"x",null,true]},"big":9007199254740993,"c.d":1,"$e":2,"":3,"huge":1e999},"created_at":"2024-02-29T10:00:00Z","last_heartbeat":"2024-02-29T12:00:09.25Z","window":60}`),
	}
}

func texts(rows []laneswap.Row) []string {
	var out []string
	for _, row := range rows {
		out = append(out, fmt.Sprintf("%s %s %s open=%v %s", row.ID, row.Service, row.At.Format(time.RFC3339Nano), row.Open, row.Data))
	}
	return out
}

func TestStore_readsTheDocumentsOfPythonDeployments(t *testing.T) {
	t.Parallel()
	uri, db := fresh(t, mongotest.Start(t))
	_, err := db.Collection("heartbeats").InsertMany(t.Context(), pythonDocuments())
	require.NoError(t, err)
	s := open(t, uri)
	mine := ours("between", noon.Add(4*time.Second))
	require.NoError(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: []laneswap.Row{mine}}))

	want := pythonRows()
	want = append(want[:3:3], append([]laneswap.Row{mine}, want[3:]...)...)
	require.Equal(t, texts(want), texts(services(t, s, laneswap.RowQuery{})))
	got := loaded(t, s)
	require.Len(t, got, len(want))
	for _, row := range want {
		require.Equal(t, texts([]laneswap.Row{row}), texts([]laneswap.Row{got[laneswap.Key{Kind: row.Kind, ID: row.ID}]}))
	}

	// Selected, ordered and paged as if they were ours.
	for _, descending := range []bool{false, true} {
		ordered := append([]laneswap.Row(nil), want...)
		if descending {
			for i := range want {
				ordered[i] = want[len(want)-1-i]
			}
		}
		for limit := 1; limit <= len(want)+1; limit++ {
			q := laneswap.RowQuery{Descending: descending, Limit: limit}
			var paged []laneswap.Row
			for {
				page := services(t, s, q)
				require.LessOrEqual(t, len(page), limit)
				paged = append(paged, page...)
				if len(page) < limit {
					break
				}
				q.After = &page[len(page)-1]
			}
			require.Equal(t, texts(ordered), texts(paged), "limit %d, descending %v", limit, descending)
		}
	}
	require.Equal(t, texts(want[2:4]), texts(services(t, s, laneswap.RowQuery{From: want[2].At, To: want[4].At})))
	require.Equal(t, texts(want[4:5]), texts(services(t, s, laneswap.RowQuery{Service: want[4].ID})))
	n, err := s.Prune(t.Context(), laneswap.KindService, noon.AddDate(1, 0, 0), 100)
	require.NoError(t, err)
	require.Zero(t, n, "they are open")
}

func TestStore_writesServicesInTheShapeOfPythonDeployments(t *testing.T) {
	t.Parallel()
	uri, db := fresh(t, mongotest.Start(t))
	_, err := db.Collection("heartbeats").InsertMany(t.Context(), pythonDocuments())
	require.NoError(t, err)
	s := open(t, uri)
	// One that is new, one that Python has made.
	for _, id := range []string{"new one", "a1b2"} {
		before := bson.M{}
		if id == "a1b2" {
			before = heartbeat(t, db, id)
		}
		row := ours(id, noon)
		require.NoError(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: []laneswap.Row{row}}))
		doc := heartbeat(t, db, id)
		require.Equal(t, "ours", doc["name"])
		require.Equal(t, "error", doc["status"])
		require.Equal(t, "disk full", doc["message"])
		require.Equal(t, bson.D{{Key: "a", Value: bson.D{{Key: "b", Value: bson.A{int64(1), 2.5, "x", nil, true}}}}, {Key: "big", Value: int64(9007199254740993)}}, doc["metadata"])
		require.Equal(t, bson.DateTime(noon.Add(-2*time.Hour).UnixMilli()), doc["created_at"])
		require.Equal(t, bson.DateTime(noon.Add(9250*time.Millisecond).UnixMilli()), doc["last_heartbeat"])
		require.Equal(t, before["owner"], doc["owner"], "what others have added stays")
		if id == "a1b2" {
			require.Equal(t, before["_id"], doc["_id"], "it is the same document")
		}
		require.Equal(t, texts([]laneswap.Row{row}), texts([]laneswap.Row{loaded(t, s)[serviceKey(id)]}), "byte for byte")

		// Less said: what is no longer true is gone, what was is kept.
		row.Data = []byte(`{"name":"ours","status":"healthy"}`)
		require.NoError(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: []laneswap.Row{row}}))
		doc = heartbeat(t, db, id)
		require.Contains(t, doc, "message")
		require.Nil(t, doc["message"])
		require.Equal(t, bson.D{}, doc["metadata"])
		require.Equal(t, bson.DateTime(noon.Add(9250*time.Millisecond).UnixMilli()), doc["last_heartbeat"])
	}
	require.NoError(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Delete: []laneswap.Key{serviceKey("a1b2"), serviceKey("naive")}}))
	left := loaded(t, s)
	require.NotContains(t, left, serviceKey("a1b2"))
	require.NotContains(t, left, serviceKey("naive"), "one that was never put can be deleted too")
	require.Contains(t, left, serviceKey("bare"))
}

func TestStore_insertsNoServiceThatPythonHasMade(t *testing.T) {
	t.Parallel()
	uri, db := fresh(t, mongotest.Start(t))
	_, err := db.Collection("heartbeats").InsertMany(t.Context(), pythonDocuments())
	require.NoError(t, err)
	s := open(t, uri)
	err = s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Insert: []laneswap.Row{ours("naive", noon)}})
	require.ErrorIs(t, err, laneswap.ErrExists)
	require.NoError(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Insert: pythonRows()}), "the same is no error")
	require.Equal(t, texts(pythonRows()), texts(services(t, s, laneswap.RowQuery{})))
}

func TestStore_bringsLastHeartbeatUpToDateForOthers(t *testing.T) {
	t.Parallel()
	uri, db := fresh(t, mongotest.Start(t))
	_, err := db.Collection("heartbeats").InsertMany(t.Context(), pythonDocuments())
	require.NoError(t, err)
	s, err := mongostore.Open(uri, mongostore.WithChunk(50))
	require.NoError(t, err)
	seen := []laneswap.Seen{{Service: "naive", At: noon.Add(time.Hour)}, {Service: "a1b2", At: noon.Add(-time.Hour)}, {Service: "nowhere", At: noon}}
	require.NoError(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Seen: seen}))
	require.NoError(t, s.Close(t.Context()), "it waits for what is on its way")
	require.Equal(t, bson.DateTime(noon.Add(time.Hour).UnixMilli()), heartbeat(t, db, "naive")["last_heartbeat"])
	require.Equal(t, bson.DateTime(noon.Add(5*time.Second).UnixMilli()), heartbeat(t, db, "a1b2")["last_heartbeat"], "never back")
	n, err := db.Collection("heartbeats").CountDocuments(t.Context(), bson.D{{Key: "id", Value: "nowhere"}})
	require.NoError(t, err)
	require.Zero(t, n, "nobody is made up")
	require.NoError(t, s.Close(t.Context()))
	require.ErrorIs(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Seen: seen}), mongostore.ErrClosed)
}
