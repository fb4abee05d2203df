package mongostore_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/mongotest"
)

// A run that is over stands before the state that followed from it. Where the
// state is stored and the run is not, a restart does not know that one is missing.
func TestCommit_putsAStateAfterWhatStandsBeforeIt(t *testing.T) {
	t.Parallel()
	uri, db := fresh(t, mongotest.Start(t))
	state := func(data string) laneswap.Row {
		return laneswap.Row{Kind: laneswap.KindService, ID: "a", Service: "a", At: noon, Open: true, Data: []byte(data)}
	}
	other, seen := open(t, uri), ""
	s, armed := interrupted(t, uri, db.Name(), "insert", func() {
		seen = string(loaded(t, other)[laneswap.Key{Kind: laneswap.KindService, ID: "a"}].Data)
	})
	require.NoError(t, other.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: []laneswap.Row{state(`1`)}}))
	*armed = sync.Once{} // from now on
	run := laneswap.Row{Kind: "span", ID: "run", Service: "a", At: noon, Data: []byte(`{}`)}
	require.NoError(t, s.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: []laneswap.Row{run, state(`2`)}}))
	require.Equal(t, `1`, seen, "the state when the run is about to be stored")
}
