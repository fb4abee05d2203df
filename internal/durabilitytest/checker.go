// Package durabilitytest checks that a server keeps what it acknowledged, when it is
// killed and started again.
//
// Workers send registrations, removals, heartbeats and more, each for services of
// its own, so that the order of the operations is known. An operation whose answer
// lacks "durable": false must survive a kill. Of later operations, those up to some
// point may have happened.
package durabilitytest

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

// Options set the number of operations and describe the storage. The zero value is
// useful.
type Options struct {
	// Seed determines the operations of each worker. How they interleave does not
	// depend on it.
	Seed uint64
	// Workers is the number of workers; zero means 6.
	Workers int
	// Services is the number of services of each worker; zero means 4.
	Services int
	// StorageLeaves is set when the storage has no transactions, and may fail between
	// any two operations.
	StorageLeaves bool
}

// Checker sends operations to a server and checks that it keeps them. New makes one.
// Call its methods one after the other; only Work may run while the server is killed.
type Checker struct {
	opts    Options
	rand    *rand.Rand
	workers []*worker
	beaters []*beater
	log     *eventLog
	born    time.Time

	run    int     // the number of starts of the server
	life   int     // the number of kills of the server, and one
	server *server // the present run
	end    context.CancelFunc
	tasks  sync.WaitGroup // of the present run, besides the workers

	mu         sync.Mutex // guards the fields below
	violations []string
	counts     map[string]int
}

// New returns a Checker that has sent nothing yet.
func New(o Options) *Checker {
	if o.Workers == 0 {
		o.Workers = 6
	}
	if o.Services == 0 {
		o.Services = 4
	}
	c := &Checker{opts: o, rand: rand.New(rand.NewPCG(o.Seed, 0)), counts: map[string]int{}, born: time.Now()}
	c.log = &eventLog{c: c, seen: map[uint64]string{}}
	for i := range o.Workers {
		w := &worker{c: c, name: fmt.Sprint("worker-", i), rand: rand.New(rand.NewPCG(o.Seed, uint64(i+1)))}
		for n := range o.Services {
			w.services = append(w.services, newService(laneswap.ServiceID(fmt.Sprintf("%s.service-%d", w.name, n))))
		}
		c.workers = append(c.workers, w)
	}
	for _, window := range []time.Duration{2 * time.Second, 5 * time.Second, time.Minute} {
		c.beaters = append(c.beaters, &beater{c: c, id: laneswap.ServiceID("beater-" + window.String()), window: window})
	}
	return c
}

// Begin tells the Checker that the server runs at a URL and was started after began.
// killed tells whether the run before was killed: then operations that were not
// durable may be lost. Until End the beaters beat and the Checker follows the events.
func (c *Checker) Begin(ctx context.Context, url string, began time.Time, killed bool) error {
	s, err := newServer(url, began)
	if err != nil {
		return err
	}
	c.server = s
	c.run++
	if killed || c.life == 0 {
		c.life++
	}
	c.log.begin()
	ctx, c.end = context.WithCancel(ctx)
	for _, p := range c.beaters {
		p.received(began)
		c.tasks.Go(func() { p.run(ctx, s) }) // ended by End, or with the server
	}
	c.tasks.Go(func() { // ended by End, or with the server
		if err := c.log.follow(ctx, s); err != nil {
			c.fail("%v", err)
		}
	})
	return nil
}

// End ends the goroutines of Begin.
func (c *Checker) End() {
	c.end()
	c.tasks.Wait()
	c.server.transport.CloseIdleConnections()
}

// Work runs the workers until the server ends or stop is closed. newOnly tells that
// the server has not read its storage yet, and accepts new services only.
func (c *Checker) Work(ctx context.Context, stop <-chan struct{}, newOnly bool) {
	var group sync.WaitGroup
	for _, w := range c.workers {
		group.Go(func() { w.run(ctx, c.server, stop, newOnly) })
	}
	group.Wait()
}

// Check compares everything with the server. No worker may run meanwhile.
func (c *Checker) Check(ctx context.Context) error {
	if err := c.check(ctx); err != nil {
		c.fail("%v", err)
	}
	return c.verdict()
}

// verdict returns all failures as one error.
func (c *Checker) verdict() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.violations) == 0 {
		return nil
	}
	return errors.New(strings.Join(c.violations, "\n"))
}

// fail records a broken promise.
func (c *Checker) fail(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.violations = append(c.violations, fmt.Sprintf(format, args...))
}

// count counts an operation.
func (c *Checker) count(what string, durable bool) {
	if durable {
		c.log.acknowledge()
	} else if what != "unanswered" {
		what += " not durable"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[what]++
}

// String returns the number of operations of each kind.
func (c *Checker) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(c.counts)) {
		parts = append(parts, fmt.Sprintf("%d of %s", c.counts[what], what))
	}
	return strings.Join(parts, ", ")
}

// services returns the services of all workers.
func (c *Checker) services() []*service {
	var out []*service
	for _, w := range c.workers {
		out = append(out, w.services...)
	}
	return out
}
