package notifiertest

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/laneswap/laneswap"
)

// now is the time of the suite's messages.
var now = time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)

// sending tests messages that the receiver accepts.
var sending = []test{
	{"Kinds_areAllTaken", func(r *run) {
		for i, note := range ofEachKind() {
			r.Run(string(note.Kind), func(t *testing.T) {
				t.Parallel()
				r := &run{T: t, target: r.target}
				s, n, delivered := r.make()
				r.deliver("Notify", n, note)
				got := delivered()
				if got == "" {
					r.Fatal("Notify returned nil, but nothing has arrived")
				}
				if secret := s.found(got); secret != "" {
					r.Errorf("the message holds %s", secret)
				}
				if want := ofEachKind()[i]; !reflect.DeepEqual(note, want) {
					r.Errorf("the notification was changed:\n%+v\nit was:\n%+v", note, want)
				}
			})
		}
	}},
	{"Messages_arriveInOrderBeforeNotifyReturns", func(r *run) {
		_, n, delivered := r.make()
		for i := range r.limit(20) {
			r.deliver(fmt.Sprintf("message %d", i+1), n, numbered(i))
			got, at := delivered(), 0
			for k := range i + 1 {
				next := strings.Index(got[at:], numberedName(k))
				if next < 0 {
					r.Fatalf("Notify returned nil for %d messages, but number %d has not arrived, or out of order", i+1, k+1)
				}
				at += next
			}
		}
	}},
	{"Calls_atTheSameTimeAreSafe", func(r *run) {
		s, n, delivered := r.make()
		calls := r.limit(8)
		s.answer(together(calls, r.target.OK))
		var wait sync.WaitGroup
		errs := make([]error, calls)
		for i := range calls {
			wait.Go(func() {
				if c := call(r.Context(), r.target.Patience/2, n, numbered(i)); c.panic != "" {
					errs[i] = fmt.Errorf("panic: %s", c.panic)
				} else {
					errs[i] = c.err
				}
			})
		}
		wait.Wait()
		got := delivered()
		for i, err := range errs {
			if err != nil {
				r.Errorf("message %d: %s", i+1, describe(err))
			} else if !strings.Contains(got, numberedName(i)) {
				r.Errorf("message %d: Notify returned nil, but it has not arrived", i+1)
			}
		}
	}},
	{"Receipt_isGiven", func(r *run) {
		_, n, _ := r.make()
		id, err := laneswap.Send(r.Context(), n, Notifications(now)[0])
		if err != nil {
			r.Fatalf("Send: %s", describe(err))
		}
		if id != r.target.Receipt {
			r.Fatalf("the receipt is %q, want %q", id, r.target.Receipt)
		}
	}},
}

// ofEachKind returns Notifications and one of a kind that a later version may add.
func ofEachKind() []laneswap.Notification {
	other := Notifications(now)[0]
	other.Kind = "of a later version"
	return append(Notifications(now), other)
}

// together delays answers until n requests have arrived, or 100 ms have passed: calls
// may wait for each other, but need not.
func together(n int, ok Answer) func(*Stand, http.ResponseWriter, *http.Request) {
	var mu sync.Mutex
	came, all := 0, make(chan struct{})
	return func(s *Stand, w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if came++; came == n {
			close(all)
		}
		mu.Unlock()
		select {
		case <-all:
		case <-time.After(100 * time.Millisecond):
		}
		ok.reply(s, w, r)
	}
}

// numberedName returns the name in message i. It has letters and digits only, which no
// format escapes.
func numberedName(i int) string { return fmt.Sprintf("Numbered%03dService", i) }

// numbered returns message i, which differs from all others.
func numbered(i int) laneswap.Notification {
	ev := down(now.Add(time.Duration(i)*time.Second), laneswap.ServiceID(numberedName(i)), numberedName(i))
	return single(fmt.Sprintf("numbered-%d", i), laneswap.NoticeEvent, laneswap.Item{Event: ev, Text: numberedName(i) + " is stale, was healthy"})
}
