package laneswap_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/laneswap/laneswap"
)

// blocked is a notifier that takes a message and never returns, whatever its
// context says, until it is let go.
type blocked chan struct{}

func (h blocked) Notify(context.Context, laneswap.Notification) error {
	<-h
	return nil
}

// owing is a started Manager with services that are bad, n of them, which its
// notifiers are to be told of, and one that is good.
func owing(b *testing.B, n int, opts ...laneswap.Option) (*laneswap.Manager, *laneswap.Handle) {
	b.Helper()
	m := laneswap.NewManager(opts...)
	if err := m.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = m.Stop(context.Background()) })
	for i := range n {
		id := laneswap.ServiceID(fmt.Sprintf("service-%06d@host", i))
		announce(b, m, id, laneswap.Heartbeat{})
		announce(b, m, id, laneswap.Heartbeat{Status: laneswap.StatusError})
	}
	announce(b, m, "good", laneswap.Heartbeat{})
	h, err := m.Handle("good")
	if err != nil {
		b.Fatal(err)
	}
	return m, h
}

func announce(b *testing.B, m *laneswap.Manager, id laneswap.ServiceID, hb laneswap.Heartbeat) {
	b.Helper()
	if err := m.AnnounceBeat(b.Context(), laneswap.Registration{ID: id, NoDeadline: true}, hb); err != nil {
		b.Fatal(err)
	}
}

// waiting waits until so many notices wait for the one notifier of m, and it has a
// message in hand.
func waiting(b *testing.B, m *laneswap.Manager, n int, busy func() bool) {
	b.Helper()
	for range 1000 {
		all, err := m.Notifiers(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if all[0].Waiting >= n && busy() {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	b.Fatal("the notices do not wait")
}

// median sorts.
func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// mostOfAlone is how much longer a beat may take beside a notifier in trouble.
const mostOfAlone = 1.25

// BenchmarkHandleBeat_besideAHangingNotifier compares heartbeats in this process
// while a notifier hangs for ever with thousands of notices owed to it, and without
// any notifier, batch by batch in turns. It fails when the median is more than 1.25
// times as long in all of ten rounds, or when a heartbeat allocates.
func BenchmarkHandleBeat_besideAHangingNotifier(b *testing.B) {
	const owed, batches, beats = 5000, 200, 1000
	stuck := make(blocked)
	called := make(chan struct{}, 1)
	defer close(stuck) // before Stop
	_, alone := owing(b, owed)
	m, beside := owing(b, owed, laneswap.WithGroupWait(0), laneswap.WithNotifier(laneswap.NotifierFunc(func(ctx context.Context, n laneswap.Notification) error {
		select {
		case called <- struct{}{}:
		default:
		}
		return stuck.Notify(ctx, n)
	})))
	waiting(b, m, owed, func() bool { return len(called) == 1 })
	if n := testing.AllocsPerRun(beats, beside.Beat); n != 0 {
		b.Errorf("a heartbeat allocates %v times", n)
	}
	batch := func(h *laneswap.Handle) time.Duration {
		begin := time.Now()
		for range beats {
			h.Beat()
		}
		return time.Since(begin)
	}
	for b.Loop() {
		best := 0.0
		var with, without time.Duration
		for round := 0; round < 10 && (round == 0 || best > mostOfAlone); round++ {
			var near, far []time.Duration
			for range batches {
				near, far = append(near, batch(beside)), append(far, batch(alone))
			}
			w, wo := median(near), median(far)
			if ratio := float64(w) / float64(wo); round == 0 || ratio < best {
				best, with, without = ratio, w, wo
			}
		}
		b.ReportMetric(float64(with.Nanoseconds())/beats, "ns/beat")
		b.ReportMetric(float64(without.Nanoseconds())/beats, "ns/beat-alone")
		b.ReportMetric(best, "of-alone")
		if best > mostOfAlone {
			b.Errorf("beside a notifier that hangs a heartbeat takes %.2f times as long", best)
		}
	}
	b.ReportMetric(0, "ns/op") // of some rounds of both: says nothing
}

// mostOfFew is how much longer anything may take with twenty times as much owed: if
// all of it were looked at each time it would be twenty times.
const mostOfFew = 6

// BenchmarkOwed is what a transition costs while more and more notices are owed to a
// notifier. It fails when it costs more than six times as much near the 100,000th as
// near the 5,000th, in all of three rounds.
func BenchmarkOwed(b *testing.B) {
	gone := errors.New("nobody there")
	long := strings.Repeat("x", 4000) // what waits is bounded: 15,000 of these
	for _, c := range []struct {
		name    string
		message string
		verdict error // nil: it hangs
	}{
		{"to one that hangs", "", nil},
		{"to one that hangs, more than is kept", long, nil},
		{"to one that fails", "", gone},
		{"to one that is disabled", "", laneswap.Permanent(gone)},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				var few, many time.Duration
				for round := range 3 {
					f, m := owe(b, c.message, c.verdict)
					if round == 0 || m*few < many*f {
						few, many = f, m
					}
					if many < mostOfFew*few {
						break
					}
				}
				historyBuilder(b, few, many, "ns/notice")
			}
			b.ReportMetric(0, "ns/op") // of what is around it, mostly
		})
	}
}

// historyBuilder says what something takes with few and with many notices owed, and fails
// when that is too much.
func historyBuilder(b *testing.B, few, many time.Duration, unit string) {
	b.Helper()
	b.ReportMetric(float64(few.Nanoseconds()), unit+"-few")
	b.ReportMetric(float64(many.Nanoseconds()), unit+"-many")
	b.ReportMetric(float64(many)/float64(few), "of-few")
	if many > mostOfFew*few {
		b.Errorf("%v with many notices owed, %v with few", many, few)
	}
}

// owe has 100,000 services go bad, and returns the median of what that took each
// near the 5,000th and near the 100,000th.
func owe(b *testing.B, message string, verdict error) (few, many time.Duration) {
	b.Helper()
	const all, batch = 100_000, 500
	stuck := make(chan struct{})
	m := laneswap.NewManager(laneswap.WithGroupWait(10*time.Millisecond), laneswap.WithNotifier(laneswap.NotifierFunc(func(context.Context, laneswap.Notification) error {
		if verdict == nil {
			<-stuck
		}
		return verdict
	})))
	ids := known(b, m, all)
	defer halt(m)
	defer close(stuck)
	times := make([]time.Duration, 0, all/batch)
	for first := 0; first < all; first += batch {
		begin := time.Now()
		for _, id := range ids[first : first+batch] {
			if _, err := m.Report(b.Context(), id, laneswap.Heartbeat{Status: laneswap.StatusError, Message: message}); err != nil {
				b.Fatal(err)
			}
		}
		times = append(times, time.Since(begin)/batch)
		if time.Since(begin) > 5*time.Second { // a transition must not take 10 ms
			break
		}
	}
	return median(times[5:15]), median(times[max(len(times)-20, 15):])
}

// known starts a Manager with n services that are good.
func known(b *testing.B, m *laneswap.Manager, n int) []laneswap.ServiceID {
	b.Helper()
	if err := m.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	ids := make([]laneswap.ServiceID, n)
	for i := range ids {
		ids[i] = laneswap.ServiceID(fmt.Sprintf("service-%06d@host", i))
		announce(b, m, ids[i], laneswap.Heartbeat{})
	}
	return ids
}

// halt stops a Manager that need not tell what it owes.
func halt(m *laneswap.Manager) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_ = m.Stop(ctx)
}

// BenchmarkOwed_singly is what each message costs when a digest was refused, and the
// services are told one by one, with 5,000 and with 100,000 waiting.
func BenchmarkOwed_singly(b *testing.B) {
	for b.Loop() {
		var few, many time.Duration
		for round := range 3 {
			f, m := singly(b, 5_000), singly(b, 100_000)
			if round == 0 || m*few < many*f {
				few, many = f, m
			}
			if many < mostOfFew*few {
				break
			}
		}
		historyBuilder(b, few, many, "ns/message")
	}
	b.ReportMetric(0, "ns/op")
}

// singly returns how long each of 200 messages took while n services waited.
func singly(b *testing.B, n int) time.Duration {
	b.Helper()
	const messages = 200
	var alone []time.Time // the notifier's
	ready, told := make(chan struct{}), make(chan struct{})
	m := laneswap.NewManager(laneswap.WithGroupWait(0), laneswap.WithNotifier(laneswap.NotifierFunc(func(_ context.Context, note laneswap.Notification) error {
		<-ready
		if len(note.Items) > 1 {
			return laneswap.Refused(errors.New("too many"))
		}
		if alone = append(alone, time.Now()); len(alone) == messages {
			close(told)
		}
		return nil
	})))
	ids := known(b, m, n)
	defer halt(m)
	for _, id := range ids {
		announce(b, m, id, laneswap.Heartbeat{Status: laneswap.StatusError})
	}
	close(ready)
	select {
	case <-told:
	case <-time.After(30 * time.Second):
		b.Fatal("200 messages took more than 30 seconds")
	}
	gaps := make([]time.Duration, 0, messages)
	for i := range messages - 1 {
		gaps = append(gaps, alone[i+1].Sub(alone[i]))
	}
	return median(gaps)
}
