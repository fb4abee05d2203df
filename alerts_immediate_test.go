package laneswap_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

// A log notifier gets each notice at once, and in full.
func TestImmediately_sendsEachServiceByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, people := &recorder{}, &recorder{}
		m := laneswap.NewManager(
			laneswap.WithNotifier(laneswap.Only(laneswap.Immediately(log), laneswap.Not(laneswap.Services("skipped")))),
			laneswap.WithNotifier(people))
		require.NoError(t, m.Start(t.Context()))
		defer func() { require.NoError(t, m.Stop(t.Context())) }()
		for n := range 20 {
			alternate(t, register(t, m, laneswap.Registration{ID: nthID(n), NoDeadline: true}), 2)
		}
		alternate(t, register(t, m, laneswap.Registration{ID: "skipped", NoDeadline: true}), 2)
		synctest.Wait()
		require.Len(t, log.texts(), 20, "twenty services at once, and no digest")
		require.Empty(t, people.texts(), "people are told when it is gathered")
		h := register(t, m, laneswap.Registration{ID: "flapping"})
		for range 10 {
			alternate(t, h, 2)
			time.Sleep(10 * time.Second)
		}
		synctest.Wait()
		require.Len(t, log.kinds(), 20+19)
		require.Less(t, len(people.texts()), 20)
	})
}
