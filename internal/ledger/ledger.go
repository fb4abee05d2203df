// Package ledger keeps what a client was told is durable, and compares it with
// what a server says after it was killed and started again.
//
// Workers ask for registrations, removals, heartbeats and the like, each about
// services of its own, so that the order of the operations is known. An answer
// that does not say "durable": false is believed. What was answered without being
// durable, or was not answered at all, may have happened or not: then a beginning
// of these operations has, up to some point, and nothing else.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/laneswap/laneswap"
)

// Options are the size of the work and what the server may be excused for. The
// zero value is useful.
type Options struct {
	// Seed makes the order of the operations of each worker. Their interleaving is
	// the machine's.
	Seed uint64
	// Workers is how many work at the same time; 6 when it is zero.
	Workers int
	// Services is how many services each of them has; 4 when it is zero.
	Services int
	// StorageLeaves says that the storage has no transactions and may leave between
	// any two operations.
	StorageLeaves bool
}

// Ledger is made by New. Its methods are called one after the other; only Work
// runs while the server is killed.
type Ledger struct {
	opts    Options
	rand    *rand.Rand
	workers []*worker
	pulses  []*pulse
	book    *book
	born    time.Time

	run    int     // how often the server was started
	life   int     // of the server: another one begins when it was killed
	server *server // the present run
	end    context.CancelFunc
	tasks  sync.WaitGroup // of the present run, besides the workers

	mu         sync.Mutex // guards what follows
	violations []string
	counts     map[string]int
}

// New makes a ledger with nothing in it.
func New(o Options) *Ledger {
	if o.Workers == 0 {
		o.Workers = 6
	}
	if o.Services == 0 {
		o.Services = 4
	}
	l := &Ledger{opts: o, rand: rand.New(rand.NewPCG(o.Seed, 0)), counts: map[string]int{}, born: time.Now()}
	l.book = &book{l: l, seen: map[uint64]string{}}
	for i := range o.Workers {
		w := &worker{l: l, name: fmt.Sprint("worker-", i), rand: rand.New(rand.NewPCG(o.Seed, uint64(i+1)))}
		for n := range o.Services {
			w.accounts = append(w.accounts, newAccount(laneswap.ServiceID(fmt.Sprintf("%s.service-%d", w.name, n))))
		}
		l.workers = append(l.workers, w)
	}
	for _, window := range []time.Duration{2 * time.Second, 5 * time.Second, time.Minute} {
		l.pulses = append(l.pulses, &pulse{l: l, id: laneswap.ServiceID("pulse-" + window.String()), window: window})
	}
	return l
}

// Begin says that the server runs at a URL, that it was not yet started at began,
// and whether it was killed before, rather than told to stop: then what it had not
// called durable may be gone. The pulses beat and the events are followed until
// End.
func (l *Ledger) Begin(ctx context.Context, url string, began time.Time, killed bool) error {
	s, err := newServer(url, began)
	if err != nil {
		return err
	}
	l.server = s
	l.run++
	if killed || l.life == 0 {
		l.life++
	}
	l.book.begin()
	ctx, l.end = context.WithCancel(ctx)
	for _, p := range l.pulses {
		p.heard(began)
		l.tasks.Go(func() { p.run(ctx, s) }) // ended by End, or with the server
	}
	l.tasks.Go(func() { // ended by End, or with the server
		if err := l.book.follow(ctx, s); err != nil {
			l.violated("%v", err)
		}
	})
	return nil
}

// End ends what Begin began.
func (l *Ledger) End() {
	l.end()
	l.tasks.Wait()
	l.server.transport.CloseIdleConnections()
}

// Work has the workers ask until the server is gone or stop is closed. Strangers
// says that the server has not read its storage yet, and takes what is new only.
func (l *Ledger) Work(ctx context.Context, stop <-chan struct{}, strangers bool) {
	var group sync.WaitGroup
	for _, w := range l.workers {
		group.Go(func() { w.run(ctx, l.server, stop, strangers) })
	}
	group.Wait()
}

// Check compares everything with what the server says. Nothing may be asked
// meanwhile.
func (l *Ledger) Check(ctx context.Context) error {
	if err := l.check(ctx); err != nil {
		l.violated("%v", err)
	}
	return l.verdict()
}

// verdict is the error of all that was found wrong.
func (l *Ledger) verdict() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.violations) == 0 {
		return nil
	}
	return errors.New(strings.Join(l.violations, "\n"))
}

// violated notes a broken promise.
func (l *Ledger) violated(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.violations = append(l.violations, fmt.Sprintf(format, args...))
}

// count notes what an operation came to.
func (l *Ledger) count(what string, durable bool) {
	if durable {
		l.book.pledge()
	} else if what != "unanswered" {
		what += " not durable"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[what]++
}

// String tells how much was acknowledged.
func (l *Ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(l.counts)) {
		parts = append(parts, fmt.Sprintf("%d of %s", l.counts[what], what))
	}
	return strings.Join(parts, ", ")
}

// accounts are those of all workers.
func (l *Ledger) accounts() []*account {
	var out []*account
	for _, w := range l.workers {
		out = append(out, w.accounts...)
	}
	return out
}
