//go:build unix

package main_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/durabilitytest"
	"github.com/laneswap/laneswap/internal/mongotest"
)

// TestKill_losesNothingThatWasAcknowledged kills the real laneswapd at random
// moments while clients work, starts it again on the same file, and compares.
// Every sixth time it is told to stop instead, and now and then it is killed
// before it is up.
func TestKill_losesNothingThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	cycles := *kills
	if testing.Short() {
		cycles = min(cycles, 3)
	}
	data := filepath.Join(t.TempDir(), "laneswap.db")
	r := newRig(t, durabilitytest.Options{}, nil, "--data", data)
	r.up()
	for cycle := range cycles {
		r.ready()
		r.check(cycle)
		r.work(false)
		r.pause(20*time.Millisecond, 400*time.Millisecond)
		r.down(r.random.IntN(6) == 0)
		if r.random.IntN(8) == 0 {
			r.launch()
			r.pause(0, 60*time.Millisecond)
			r.kill()
		}
		r.up()
	}
	r.ready()
	r.finish(cycles)
	checked := start(t, "laneswap", "store", "check", data)
	require.Equal(t, 0, checked.ended(t), "%s%s", checked.stdout, checked.stderr)
}

// TestKill_losesNothingThatMongoDBHas kills laneswapd, its database, or both. What
// laneswapd takes while the database is away it does not call durable; it is there
// all the same when only the database was killed.
func TestKill_losesNothingThatMongoDBHas(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test builds a database server")
	}
	t.Parallel()
	db := mongotest.New(t)
	env := []string{"LANESWAP_MONGODB_URI=" + db.URI() + "elsewhere", "LANESWAP_MONGODB_DATABASE=kills"}
	// Few, for the database of tests looks at every document that it has for each
	// command: it becomes too slow to answer long before MongoDB would.
	r := newRig(t, durabilitytest.Options{StorageLeaves: true, Workers: 3, Services: 3}, env)
	r.up()
	require.Contains(t, r.said(), " storage=mongodb database=kills notifiers=slog\n", "the setting counts, not the path of the URI")
	require.NotContains(t, r.said(), "mongodb://")
	for cycle := range *mongoKills {
		r.ready()
		r.check(cycle)
		r.work(false)
		r.pause(20*time.Millisecond, 600*time.Millisecond)
		// Two cycles kill the database alone and both, three kill laneswapd alone too.
		switch turn, coin := cycle%3, r.random.IntN(2) == 0; {
		case turn == 2:
			r.down(coin)
			r.up()
		case turn == 0: // the database alone
			db.Kill()
			r.pause(0, time.Second)
			db.Start()
			r.ready()
			r.rest()
		case coin: // both, and the database is back first
			db.Kill()
			r.pause(0, 300*time.Millisecond)
			r.down(false)
			db.Start()
			r.up()
		default: // both, and laneswapd is back first
			r.down(false)
			db.Kill()
			r.up()
			r.work(true)
			r.pause(20*time.Millisecond, 400*time.Millisecond)
			db.Start()
			r.ready()
			r.rest()
		}
	}
	r.ready()
	r.finish(*mongoKills)
}
