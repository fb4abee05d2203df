package mongostore_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/mongostore"
	"github.com/laneswap/laneswap/internal/mongotest"
)

func event(id string, data string) laneswap.Row {
	return laneswap.Row{Kind: laneswap.KindEvent, ID: id, Service: "s", At: noon, Data: []byte(data)}
}

// everything calls each method once and returns the errors by name.
func everything(ctx context.Context, s laneswap.Storage) map[string]error {
	errs := map[string]error{}
	errs["Commit"] = s.Commit(ctx, laneswap.Batch{
		Epoch: 1, Insert: []laneswap.Row{event("i", `1`)}, Put: []laneswap.Row{ours("p", noon)},
		Delete: []laneswap.Key{serviceKey("d")}, Seen: []laneswap.Seen{{Service: "s", At: noon}},
	})
	_, errs["Prune"] = s.Prune(ctx, laneswap.KindEvent, noon, 10)
	for _, err := range s.Load(ctx) {
		errs["Load"] = err
	}
	for _, err := range s.Rows(ctx, laneswap.RowQuery{Kind: laneswap.KindService}) {
		errs["Rows"] = err
	}
	return errs
}

func TestOpen_needsNoServer(t *testing.T) {
	t.Parallel()
	server := mongotest.New(t)
	uri := mongotest.Fresh(server.URI())
	server.Kill()
	s := open(t, uri, mongostore.WithTimeout(300*time.Millisecond))
	for name, err := range everything(t.Context(), s) {
		require.ErrorContains(t, err, "no answer within 300ms (connection refused)", name)
		require.NotErrorIs(t, err, context.DeadlineExceeded, "the caller's context has not ended")
	}
	server.Start()
	_, db := fresh(t, server.URI())
	require.Eventually(t, func() bool {
		return s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: []laneswap.Row{ours("a", noon)}}) == nil
	}, 30*time.Second, 20*time.Millisecond)
	require.Len(t, loaded(t, s), 1)
	indexes, err := db.Client().Database(s.Database()).Collection("heartbeats").Indexes().ListSpecifications(t.Context())
	require.NoError(t, err)
	names := map[string]bool{}
	for _, index := range indexes {
		names[index.Name] = index.Unique != nil && *index.Unique
	}
	require.Equal(t, map[string]bool{"_id_": false, "id_1": true, "ls_time": false, "ls_service_time": false}, names, "made once it was there")
}

func TestStore_keepsWhatItAcknowledgedWhenTheServerIsKilled(t *testing.T) {
	t.Parallel()
	server := mongotest.New(t)
	s := open(t, mongotest.Fresh(server.URI()), mongostore.WithTimeout(2*time.Second))
	var mu sync.Mutex
	acknowledged := map[string]int{} // by service, the last number
	failed := 0
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			id := fmt.Sprint("w", w)
			for i := 1; ctx.Err() == nil; i++ {
				err := s.Commit(ctx, laneswap.Batch{
					Epoch:  1,
					Insert: []laneswap.Row{event(fmt.Sprintf("%s-%d", id, i), fmt.Sprint(i))},
					Put:    []laneswap.Row{{Kind: laneswap.KindService, ID: id, Service: id, At: noon, Open: true, Data: fmt.Append(nil, i)}},
					Seen:   []laneswap.Seen{{Service: id, At: noon.Add(time.Duration(i) * time.Second)}},
				})
				mu.Lock()
				if err == nil {
					acknowledged[id] = i
				} else {
					failed++
				}
				mu.Unlock()
			}
		})
	}
	enough := func(before map[string]int) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			for w := range 4 {
				if id := fmt.Sprint("w", w); acknowledged[id] < before[id]+5 {
					return false
				}
			}
			return true
		}
	}
	for range 3 {
		mu.Lock()
		before := map[string]int{}
		for id, i := range acknowledged {
			before[id] = i
		}
		mu.Unlock()
		require.Eventually(t, enough(before), 60*time.Second, 5*time.Millisecond)
		server.Restart()
	}
	mu.Lock()
	before := map[string]int{}
	for id, i := range acknowledged {
		before[id] = i
	}
	mu.Unlock()
	require.Eventually(t, enough(before), 60*time.Second, 5*time.Millisecond, "and it goes on")
	stop()
	writers.Wait()
	server.Restart()

	var rows map[laneswap.Key]laneswap.Row
	require.Eventually(t, func() bool {
		_, err := s.Prune(t.Context(), "none", noon, 1)
		return err == nil
	}, 30*time.Second, 20*time.Millisecond)
	rows = loaded(t, s)
	events := map[string]bool{}
	for row, err := range s.Rows(t.Context(), laneswap.RowQuery{Kind: laneswap.KindEvent}) {
		require.NoError(t, err)
		events[row.ID] = true
	}
	for id, last := range acknowledged {
		var state int
		_, err := fmt.Sscan(string(rows[serviceKey(id)].Data), &state)
		require.NoError(t, err)
		require.GreaterOrEqual(t, state, last, "the state of %s", id)
		at := rows[laneswap.Key{Kind: laneswap.KindSeen, ID: id}].At
		require.False(t, at.Before(noon.Add(time.Duration(last)*time.Second)), "when %s was seen", id)
		require.Contains(t, events, fmt.Sprintf("%s-%d", id, last))
	}
	t.Logf("%v acknowledged, %d commits failed", acknowledged, failed)
}

// silent is an address that takes connections and never answers.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() { // ends with the listener
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // ends with the client
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
			}()
		}
	}()
	return l.Addr().String()
}

func TestStore_endsWithItsContextWhenTheServerHangs(t *testing.T) {
	t.Parallel()
	s := open(t, "mongodb://"+silent(t)+"/", mongostore.WithTimeout(20*time.Second))
	started := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	for name, err := range everything(ctx, s) {
		require.ErrorIs(t, err, context.Canceled, name)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for name, err := range everything(ctx, s) {
		require.ErrorIs(t, err, context.DeadlineExceeded, name)
	}
	require.Less(t, time.Since(started), 5*time.Second)
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.NoError(t, s.Close(ctx))
	require.Less(t, time.Since(started), 10*time.Second)
}

func TestStore_givesUpAServerThatHangs(t *testing.T) {
	t.Parallel()
	s := open(t, "mongodb://"+silent(t)+"/", mongostore.WithTimeout(100*time.Millisecond))
	started := time.Now()
	for name, err := range everything(t.Context(), s) {
		require.ErrorContains(t, err, "no answer within 100ms", name)
	}
	require.Less(t, time.Since(started), 5*time.Second)
	require.NoError(t, s.Close(t.Context()))
	for name, err := range everything(t.Context(), s) {
		require.ErrorIs(t, err, mongostore.ErrClosed, name)
	}
}
