package boltstore_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

var noon = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)

// content is what was committed to a store, now and ever.
type content struct {
	now  map[laneswap.Key]laneswap.Row
	ever map[laneswap.Key][]laneswap.Row
	seen map[string][]time.Time // the last is now
}

var kinds = []laneswap.Kind{laneswap.KindService, laneswap.KindEvent, laneswap.KindError, "span", "rare"}

// fill commits random rows, changes and deletes some of them, and remembers all.
// The last commit is one of its own, so that a file that goes back by one shows.
func fill(t testing.TB, s laneswap.Storage, random *rand.Rand, rows int) *content {
	t.Helper()
	c := &content{now: map[laneswap.Key]laneswap.Row{}, ever: map[laneswap.Key][]laneswap.Row{}, seen: map[string][]time.Time{}}
	row := func(i int) laneswap.Row {
		kind := kinds[random.IntN(4)]
		if random.IntN(500) == 0 {
			kind = "rare"
		}
		size := random.IntN(200)
		if random.IntN(100) == 0 {
			size = random.IntN(20_000)
		}
		return laneswap.Row{
			Kind: kind, ID: fmt.Sprintf("%s-%d", kind, i), Service: fmt.Sprint("service-", random.IntN(20)),
			At: noon.Add(time.Duration(random.IntN(1e6)) * time.Second), Open: random.IntN(4) == 0,
			Data: fmt.Appendf(nil, `{"n":%d,"padding":"%0*d"}`, random.Uint64(), size, 0),
		}
	}
	commit := func(b laneswap.Batch) {
		b.Epoch = 1
		require.NoError(t, s.Commit(t.Context(), b))
		for _, row := range b.Put {
			key := laneswap.Key{Kind: row.Kind, ID: row.ID}
			c.now[key] = row
			c.ever[key] = append(c.ever[key], row)
		}
		for _, key := range b.Delete {
			delete(c.now, key)
		}
		for _, seen := range b.Seen {
			c.seen[seen.Service] = append(c.seen[seen.Service], seen.At)
		}
	}
	for done := 0; done < rows; {
		var b laneswap.Batch
		for range min(1+random.IntN(200), rows-done) {
			b.Put = append(b.Put, row(done))
			done++
		}
		byName := func(a, b laneswap.Key) int { return strings.Compare(string(a.Kind)+a.ID, string(b.Kind)+b.ID) }
		for _, key := range slices.SortedFunc(maps.Keys(c.now), byName) {
			switch random.IntN(40) {
			case 0:
				b.Delete = append(b.Delete, key)
			case 1:
				changed := c.now[key]
				changed.Open = !changed.Open
				changed.Data = fmt.Appendf(nil, `{"changed":%d}`, random.Uint64())
				b.Put = append(b.Put, changed)
			}
			if len(b.Delete) > 20 {
				break
			}
		}
		for range random.IntN(50) {
			service := fmt.Sprint("service-", random.IntN(500))
			b.Seen = append(b.Seen, laneswap.Seen{Service: service, At: noon.Add(time.Duration(done) * time.Second)})
		}
		commit(b)
	}
	if rows > 0 {
		commit(laneswap.Batch{Put: []laneswap.Row{row(rows)}})
	}
	return c
}

// stored reads all of a store.
func stored(t testing.TB, s laneswap.Storage) (rows map[laneswap.Key]laneswap.Row, seen map[string]time.Time) {
	t.Helper()
	rows, seen = map[laneswap.Key]laneswap.Row{}, map[string]time.Time{}
	open := 0
	for _, kind := range kinds {
		for row, err := range s.Rows(t.Context(), laneswap.RowQuery{Kind: kind}) {
			require.NoError(t, err)
			rows[laneswap.Key{Kind: row.Kind, ID: row.ID}] = row
			if row.Open {
				open++
			}
		}
	}
	for row, err := range s.Load(t.Context()) {
		require.NoError(t, err)
		if row.Kind == laneswap.KindSeen {
			seen[row.ID] = row.At
		} else {
			require.Equal(t, rows[laneswap.Key{Kind: row.Kind, ID: row.ID}], row)
			open--
		}
	}
	require.Zero(t, open, "Load yields what Rows yields that is open")
	return rows, seen
}

// lastSeen is when services were last seen.
func (c *content) lastSeen() map[string]time.Time {
	out := map[string]time.Time{}
	for service, times := range c.seen {
		out[service] = times[len(times)-1]
	}
	return out
}

// files are the names in the folder of a path.
func files(t testing.TB, path string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	slices.Sort(names)
	return names
}
