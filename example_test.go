package laneswap_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/laneswap/laneswap"
)

// A worker beats, hangs, and goes on. This is the program of the README.
func Example() {
	ctx := context.Background()
	m := laneswap.NewManager()
	_ = m.Start(ctx)
	defer m.Stop(ctx)
	_, _ = m.Register(ctx, laneswap.Registration{ID: "worker", StaleAfter: time.Second})
	worker, _ := m.Handle("worker")
	worker.Beat() // from the worker's loop: no lock, no allocation
	w, _ := m.Watch(ctx, laneswap.WatchQuery{})
	for ev := range w.Events() {
		fmt.Println(ev.Name, "was", ev.From, "and is", ev.To)
		if ev.Kind == laneswap.EventRecovered {
			break
		}
		worker.Beat() // once more, and then it hangs
	}
	// Output:
	// worker was unknown and is healthy
	// worker was healthy and is stale
	// worker was stale and is healthy
}

func ExampleManager_Run() {
	ctx, cancel := context.WithCancel(context.Background())
	m := laneswap.NewManager()
	ended := make(chan error)
	go func() { ended <- m.Run(ctx) }() // in a program: errgroup, or the end of main

	_, _ = m.Register(ctx, laneswap.Registration{ID: "billing"})
	fmt.Println(m.Beat(ctx, "billing", laneswap.Heartbeat{}))
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) { // canceled: before it had begun
		fmt.Println(err)
	}
	// Output: <nil>
}

func ExampleManager_Register() {
	m := laneswap.NewManager()
	st, err := m.Register(context.Background(), laneswap.Registration{
		ID: "billing@web-1", Name: "billing", Interval: time.Minute, Tags: []string{"money"},
	})
	fmt.Println(st.ID, st.Status, st.Window, err)

	_, err = m.Register(context.Background(), laneswap.Registration{ID: "../etc"})
	var field *laneswap.ValidationError
	fmt.Println(errors.Is(err, laneswap.ErrInvalidServiceID), errors.As(err, &field) && field.Field == "service_id")
	// Output:
	// billing@web-1 unknown 2m30s <nil>
	// true true
}

func ExampleManager_Beat() {
	ctx, m := context.Background(), laneswap.NewManager()
	_, _ = m.Register(ctx, laneswap.Registration{ID: "billing"})
	fmt.Println(m.Beat(ctx, "billing", laneswap.Heartbeat{}))
	fmt.Println(m.Beat(ctx, "shipping", laneswap.Heartbeat{}))
	// Output:
	// <nil>
	// laneswap: beat "shipping": service not found
}

func ExampleManager_Report() {
	ctx, m := context.Background(), laneswap.NewManager()
	_, _ = m.Register(ctx, laneswap.Registration{ID: "billing", Metadata: map[string]any{"zone": "eu"}})
	st, err := m.Report(ctx, "billing", laneswap.Heartbeat{
		Status: laneswap.StatusWarning, Message: "queue is long", Metadata: map[string]any{"queued": 1200},
	})
	fmt.Println(st.Status, st.Message, st.Metadata, err)
	fmt.Println(st.Incident.Cause)
	// Output:
	// warning queue is long map[queued:1200 zone:eu] <nil>
	// reported warning: queue is long
}

func ExampleManager_Announce() {
	ctx, m := context.Background(), laneswap.NewManager()
	for range 2 { // registers the first time only
		st, err := m.Announce(ctx, laneswap.Registration{ID: "cron", Interval: 24 * time.Hour}, laneswap.Heartbeat{})
		fmt.Println(st.Beats, st.Status, err)
	}
	// Output:
	// 1 healthy <nil>
	// 2 healthy <nil>
}

func ExampleManager_Service() {
	ctx, m := context.Background(), laneswap.NewManager()
	_, _ = m.Register(ctx, laneswap.Registration{ID: "billing"})
	_ = m.Beat(ctx, "billing", laneswap.Heartbeat{Status: laneswap.StatusBusy})
	st, err := m.Service(ctx, "billing")
	fmt.Println(st.Name, st.Status, st.Beats, err)
	// Output: billing busy 1 <nil>
}

func ExampleManager_Services() {
	ctx, m := context.Background(), laneswap.NewManager()
	for _, id := range []laneswap.ServiceID{"c", "a", "b"} {
		_, _ = m.Register(ctx, laneswap.Registration{ID: id})
	}
	_ = m.Beat(ctx, "b", laneswap.Heartbeat{Status: laneswap.StatusError})
	for st, err := range m.Services(ctx, laneswap.ServiceQuery{}) {
		fmt.Println(st.ID, st.Status, err)
	}
	sum, err := m.Summary(ctx)
	fmt.Println(sum.Total, sum.Counts, err)
	// Output:
	// a unknown <nil>
	// b error <nil>
	// c unknown <nil>
	// 3 map[error:1 unknown:2] <nil>
}

func ExampleManager_Summary() {
	ctx, m := context.Background(), laneswap.NewManager()
	_, _ = m.Register(ctx, laneswap.Registration{ID: "billing"})
	sum, err := m.Summary(ctx)
	fmt.Println(sum.Total, sum.Counts[laneswap.StatusUnknown], err)
	// Output: 1 1 <nil>
}

func ExampleManager_Remove() {
	ctx, m := context.Background(), laneswap.NewManager()
	_, _ = m.Register(ctx, laneswap.Registration{ID: "billing"})
	fmt.Println(m.Remove(ctx, "billing"))
	fmt.Println(errors.Is(m.Remove(ctx, "billing"), laneswap.ErrServiceNotFound))
	// Output:
	// <nil>
	// true
}

func ExampleManager_Events() {
	ctx, m := context.Background(), laneswap.NewManager()
	_, _ = m.Register(ctx, laneswap.Registration{ID: "billing"})
	for _, status := range []laneswap.Status{laneswap.StatusHealthy, laneswap.StatusWarning, laneswap.StatusCritical, laneswap.StatusIdle} {
		_ = m.Beat(ctx, "billing", laneswap.Heartbeat{Status: status})
	}
	for ev, err := range m.Events(ctx, laneswap.EventQuery{After: 1}) {
		fmt.Println(ev.Sequence, ev.Kind, ev.From, ev.To, err)
	}
	// Output:
	// 2 down healthy warning <nil>
	// 3 worse warning critical <nil>
	// 4 recovered critical idle <nil>
}

func ExampleManager_Watch() {
	ctx, m := context.Background(), laneswap.NewManager()
	_, _ = m.Register(ctx, laneswap.Registration{ID: "billing"})
	_ = m.Beat(ctx, "billing", laneswap.Heartbeat{})
	w, err := m.Watch(ctx, laneswap.WatchQuery{}) // from the oldest event kept, then live
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Close()
	for ev, err := range w.Events() {
		fmt.Println(ev.Kind, ev.To, err)
		if ev.Kind == laneswap.EventDown {
			return
		}
		_ = m.Beat(ctx, "billing", laneswap.Heartbeat{Status: laneswap.StatusError})
	}
	// Output:
	// up healthy <nil>
	// down error <nil>
}

func ExampleManager_Heartbeats() {
	ctx, m := context.Background(), laneswap.NewManager()
	_, _ = m.Register(ctx, laneswap.Registration{ID: "backup"})
	for _, said := range []string{"started", "copying", "copying", "done"} {
		_ = m.Beat(ctx, "backup", laneswap.Heartbeat{Message: said})
	}
	for rec, err := range m.Heartbeats(ctx, "backup") {
		fmt.Println(rec.Message, rec.Count, err)
	}
	// Output:
	// started 1 <nil>
	// copying 2 <nil>
	// done 1 <nil>
}

func ExampleManager_Unhealthy() {
	ctx, m := context.Background(), laneswap.NewManager()
	_, _ = m.Register(ctx, laneswap.Registration{ID: "billing"})
	fmt.Println(m.Unhealthy(ctx))
	_ = m.Beat(ctx, "billing", laneswap.Heartbeat{Status: laneswap.StatusCritical})
	fmt.Println(m.Unhealthy(ctx))
	// Output:
	// <nil>
	// laneswap: unhealthy: billing is critical
}

func ExampleManager_AddNotifier() {
	ctx, m := context.Background(), laneswap.NewManager()
	_ = m.Start(ctx)
	_, _ = m.Register(ctx, laneswap.Registration{ID: "billing"})
	err := m.AddNotifier(laneswap.NotifierFunc(func(_ context.Context, n laneswap.Notification) error {
		fmt.Println(n.Event.Service, n.Event.To)
		return nil
	}))
	_ = m.Beat(ctx, "billing", laneswap.Heartbeat{Status: laneswap.StatusDegraded})
	_ = m.Stop(ctx)
	fmt.Println(err)
	// Output:
	// billing degraded
	// <nil>
}

func ExampleHandle() {
	ctx, m := context.Background(), laneswap.NewManager()
	_, _ = m.Register(ctx, laneswap.Registration{ID: "worker"})
	h, err := m.Handle("worker")
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 3 {
		h.Beat()
	}
	_ = h.Report(laneswap.Heartbeat{Status: laneswap.StatusIdle, Message: "no work"})
	st, _ := m.Service(ctx, h.ID())
	fmt.Println(st.Beats, st.Status, st.Message, h.Err())
	_ = m.Remove(ctx, h.ID())
	fmt.Println(h.Err())
	// Output:
	// 4 idle no work <nil>
	// laneswap: handle "worker": service not found
}

func ExampleWithInterceptor() {
	ctx := context.Background()
	hot := func(_ context.Context, _ laneswap.ServiceID, hb laneswap.Heartbeat) (laneswap.Heartbeat, error) {
		if cpu, ok := hb.Metadata["cpu"].(float64); ok && cpu > 90 {
			hb.Status = laneswap.StatusCritical
		}
		return hb, nil
	}
	m := laneswap.NewManager(laneswap.WithInterceptor(hot))
	_, _ = m.Register(ctx, laneswap.Registration{ID: "encoder"})
	st, err := m.Report(ctx, "encoder", laneswap.Heartbeat{Metadata: map[string]any{"cpu": 97}})
	fmt.Println(st.Status, err)
	// Output: critical <nil>
}

func ExamplePulse() {
	ctx, cancel := context.WithCancel(context.Background())
	m := laneswap.NewManager()
	w, _ := m.Watch(ctx, laneswap.WatchQuery{})
	ended := make(chan error)
	go func() {
		ended <- laneswap.Pulse(ctx, m, laneswap.Registration{ID: "worker", Interval: 10 * time.Second})
	}()
	for ev := range w.Events() {
		fmt.Println(ev.To)
		break
	}
	cancel()
	fmt.Println(<-ended)
	st, _ := m.Service(context.Background(), "worker")
	fmt.Println(st.Status)
	// Output:
	// healthy
	// <nil>
	// shutdown
}

func ExampleWrap() {
	ctx, m := context.Background(), laneswap.NewManager()
	_, _ = m.Register(ctx, laneswap.Registration{ID: "backup"})
	outcomes := []error{nil, errors.New("disk full")}
	job := laneswap.Wrap(m, "backup", func(context.Context) error {
		st, _ := m.Service(ctx, "backup")
		fmt.Println("runs as", st.Status)
		err := outcomes[0]
		outcomes = outcomes[1:]
		return err
	})
	for range 2 {
		err := job(ctx)
		st, _ := m.Service(ctx, "backup")
		fmt.Printf("%v, so %s %q\n", err, st.Status, st.Message)
	}
	// Output:
	// runs as busy
	// <nil>, so healthy ""
	// runs as busy
	// disk full, so error "disk full"
}

func ExampleWatchdog() {
	ctx, cancel := context.WithCancel(context.Background())
	m := laneswap.NewManager()
	dog := laneswap.NewWatchdog(m, laneswap.Registration{ID: "worker", Interval: 10 * time.Millisecond})
	ended := make(chan error)
	go func() { ended <- dog.Run(ctx) }()
	for { // the worker's loop
		dog.Tick()
		if st, err := m.Service(ctx, "worker"); err == nil && st.Beats > 0 {
			fmt.Println(st.Status)
			break
		}
	}
	cancel()
	fmt.Println(<-ended)
	// Output:
	// healthy
	// <nil>
}

func ExampleParseStatus() {
	st, err := laneswap.ParseStatus("Critical")
	fmt.Println(st, st.Bad(), err)
	_, err = laneswap.ParseStatus("on fire")
	fmt.Println(errors.Is(err, laneswap.ErrInvalidHeartbeat))
	// Output:
	// critical true <nil>
	// true
}

func ExampleDefault() {
	laneswap.SetDefault(laneswap.NewManager(laneswap.WithStaleThreshold(5 * time.Minute)))
	st, err := laneswap.Default().Register(context.Background(), laneswap.Registration{ID: "billing"})
	fmt.Println(st.Window, err)
	laneswap.SetDefault(nil)
	// Output: 5m0s <nil>
}
