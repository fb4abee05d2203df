package laneswap_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// A second Manager goes on where the first one ended. A program would open
// adapters/boltstore or adapters/mongostore here.
func ExampleWithStorage() {
	ctx := context.Background()
	store := memorystore.New()

	m := laneswap.NewManager(laneswap.WithStorage(store))
	_ = m.Start(ctx)
	_, _ = m.Register(ctx, laneswap.Registration{ID: "billing", Interval: time.Minute})
	_, _ = m.Report(ctx, "billing", laneswap.Heartbeat{Status: laneswap.StatusError, Message: "disk full"})
	_ = m.Stop(ctx)

	m = laneswap.NewManager(laneswap.WithStorage(store))
	_ = m.Start(ctx)
	defer m.Stop(ctx)
	st, _ := m.Service(ctx, "billing")
	fmt.Println(st.Status, st.Message, st.Interval)
	st, _ = m.Report(ctx, "billing", laneswap.Heartbeat{})
	fmt.Println(st.Status, st.NotDurable)
	// Output:
	// error disk full 1m0s
	// healthy false
}

func ExampleManager_History() {
	ctx := context.Background()
	m := laneswap.NewManager()
	_, _ = m.Register(ctx, laneswap.Registration{ID: "billing"})
	_ = m.Beat(ctx, "billing", laneswap.Heartbeat{Status: laneswap.StatusError, Message: "disk full"})
	_ = m.Beat(ctx, "billing", laneswap.Heartbeat{})
	time.Sleep(2 * time.Millisecond) // history has milliseconds, and the present one is not over

	h, _ := m.History(ctx, "billing", laneswap.HistoryQuery{From: time.Now().AddDate(0, 0, -30)})
	for _, i := range h.Incidents {
		fmt.Println(i.Worst, i.Cause)
	}
	fmt.Println(h.IncidentCount, "incident,", h.Recovered, "recovered")
	fmt.Println("known of the whole month:", !h.KnownFrom.After(h.From))
	// Output:
	// error reported error: disk full
	// 1 incident, 1 recovered
	// known of the whole month: false
}

func ExampleManager_ReportError() {
	ctx := context.Background()
	m := laneswap.NewManager()
	_, _ = m.Register(ctx, laneswap.Registration{ID: "billing"})
	_, _ = m.ReportError(ctx, "billing", laneswap.ErrorReport{Type: "TimeoutError", Message: "no answer within 5s"})
	for rec, err := range m.Errors(ctx, "billing", laneswap.ErrorQuery{}) {
		fmt.Println(rec.Type, rec.Message, err)
	}
	// Output: TimeoutError no answer within 5s <nil>
}

// Sync is for whoever acknowledges to somebody else what Beat, which never waits,
// has taken.
func ExampleManager_Sync() {
	ctx := context.Background()
	m := laneswap.NewManager(laneswap.WithStorage(memorystore.New()))
	_ = m.Start(ctx)
	defer m.Stop(ctx)
	_, _ = m.Register(ctx, laneswap.Registration{ID: "billing"})
	_ = m.Beat(ctx, "billing", laneswap.Heartbeat{Status: laneswap.StatusBusy})
	switch err := m.Sync(ctx); {
	case errors.Is(err, laneswap.ErrDegraded):
		fmt.Println("not stored yet")
	case err == nil:
		fmt.Println("stored")
	}
	// Output: stored
}

func ExampleManager_Health() {
	ctx := context.Background()
	m := laneswap.NewManager(laneswap.WithStorage(memorystore.New()))
	_ = m.Start(ctx)
	defer m.Stop(ctx)
	h := m.Health()
	fmt.Println(h.Stage, h.Storage.State)
	// Output: running ok
}
