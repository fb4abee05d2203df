package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/laneswap/laneswap"
)

const (
	// DefaultInterval is how often an agent beats whose registration sets no
	// interval.
	DefaultInterval = 10 * time.Second

	closeTimeout = 2 * time.Second // for the last words
)

// Agent keeps one service of this program beating, whatever happens to the
// server. It is made by Client.Agent and ended by Close; its methods never wait
// for the network, except for Flush, Close and CloseWith, which are bounded, and
// may be called concurrently.
//
// It tells the latest state with every beat: what Report said last is repeated
// until it says something else. Changes of status are delivered in their order,
// the latest 64 of them after an outage; everything else is latest-wins, so that
// its memory does not grow while the server is away.
//
// A beat that fails is tried again up to four times within the interval, and
// then at its end; an agent never gives up. It registers again when the server
// does not know the service any more, or was restarted, always under the same
// id. A heartbeat that the server finds invalid is sent again without its
// message and metadata.
type Agent struct {
	c       *Client
	id      laneswap.ServiceID
	reg     []byte // the registration as it is sent
	timeout time.Duration

	watchdog bool
	ticked   atomic.Bool
	hurried  atomic.Bool
	nudge    chan struct{} // wakes the loop
	reports  *reports
	plan     *plan  // the loop's
	known    bool   // the loop's: the server knows the service
	boot     string // the loop's: the run of the server that does
	bare     uint64 // the loop's: the report that the server took without its content only
	voice    *voice // the loop's

	mu   sync.Mutex // guards what follows
	err  error      // of the latest attempt
	left error      // what was left out of the latest report
	told bool       // OnError knows of left

	once    sync.Once
	quit    context.Context // ends with Close
	end     context.CancelFunc
	done    chan struct{} // closed when the loop has ended
	goodbye error         // set before done is closed
}

// AgentOption changes an Agent while it is made.
type AgentOption func(*Agent)

// WithOnError sets a function that is told why heartbeats are not delivered, or
// not as they were reported: the first time at once, then for each kind of
// failure at most once a minute. It is called from the agent's goroutine: beats
// wait while it runs. A panic in it is caught.
func WithOnError(f func(error)) AgentOption {
	return func(a *Agent) { a.voice.onError = f }
}

// WithWatchdog ties the beats to real work: a beat is left out unless Tick was
// called since the one before, so that a program whose loop hangs goes stale
// although its process lives. The first beat waits for the first Tick. A change
// of status is told without one.
func WithWatchdog() AgentOption {
	return func(a *Agent) { a.watchdog = true }
}

// Agent makes an agent for a service and starts it. It returns at once and does
// not need the server: the registration is delivered in the background, and
// what the server says to it is told by Err and WithOnError.
//
// Without an ID the service's is DefaultID(reg.Name), without an Interval it is
// DefaultInterval. An error is returned for a registration without a name and an
// id, with an invalid id, or with an interval or metadata that nobody could
// send.
func (c *Client) Agent(reg laneswap.Registration, opts ...AgentOption) (*Agent, error) {
	fail := func(field, format string, args ...any) (*Agent, error) {
		return nil, failed("agent", laneswap.ServiceID(reg.Name), &laneswap.ValidationError{
			Field: field, Problem: fmt.Sprintf(format, args...), Err: laneswap.ErrInvalidRegistration,
		})
	}
	if reg.ID == "" && laneswap.Sanitize(reg.Name) == "" {
		return fail("name", "is empty, and so is service_id; one is required")
	}
	if reg.ID == "" {
		reg.ID = DefaultID(reg.Name)
	}
	if err := laneswap.ValidateServiceID(reg.ID); err != nil {
		return nil, failed("agent", reg.ID, err)
	}
	if reg.Interval == 0 {
		reg.Interval = DefaultInterval
	}
	if reg.Interval < laneswap.MinDuration || reg.Interval > laneswap.MaxDuration {
		return fail("interval", "is %v, it must be from %v to %v (366 days)", reg.Interval, laneswap.MinDuration, laneswap.MaxDuration)
	}
	body, err := encodeRegistration(reg)
	if err != nil {
		return nil, failed("agent", reg.ID, err)
	}
	a := &Agent{
		c: c, id: reg.ID, reg: body,
		// One hanging attempt must leave time for another.
		timeout: min(c.timeout, max(reg.Interval/3, time.Second)),
		nudge:   make(chan struct{}, 1), reports: newReports(reg.Metadata), plan: newPlan(reg.Interval, time.Now()),
		voice: newVoice(c.log, reg.ID), done: make(chan struct{}),
	}
	for _, opt := range opts {
		opt(a)
	}
	a.quit, a.end = context.WithCancel(context.Background())
	go a.run() // ended by Close
	return a, nil
}

// ID returns the id of the service.
func (a *Agent) ID() laneswap.ServiceID { return a.id }

// Report says how the service is from now on; every beat repeats it until the
// next Report. It never waits. A change of status is sent at once, anything else
// at most once a second. Metadata is merged; a nil value removes its key.
//
// What cannot be sent is left out and told by Err and WithOnError: a status that
// is none leaves everything as it was, a message is cut to 4 KiB, and metadata
// is kept up to 64 keys and 8 KiB. Final is left out, too: an agent beats on, and
// is final with CloseWith. After Close it does nothing.
func (a *Agent) Report(hb laneswap.Heartbeat) {
	a.take(hb, false)
	a.wake()
}

func (a *Agent) take(hb laneswap.Heartbeat, last bool) {
	err := a.reports.add(hb, last)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.left, a.told = failed("report", a.id, err), false
}

// Tick says that the program's work goes on; see WithWatchdog. It costs one
// atomic store.
func (a *Agent) Tick() { a.ticked.Store(true) }

// Err returns why the latest attempt to deliver failed, or what had to be left
// out of the latest Report; nil when neither is the case.
func (a *Agent) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return a.err
	}
	return a.left
}

// Do runs fn under a heartbeat, as laneswap.Wrap does: busy, then healthy; or
// error, when fn returns one or panics. The panic goes on when it was delivered,
// or two seconds later. Beats go on while fn runs.
func (a *Agent) Do(ctx context.Context, fn func(context.Context) error) error {
	returned := false
	defer func() {
		if !returned { // a panic, which may end the program
			bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
			defer cancel()
			_ = a.Flush(bounded)
		}
	}()
	err := laneswap.Wrap(agentBeater{a}, a.id, fn)(ctx)
	returned = true
	return err
}

// agentBeater lets laneswap.Wrap report through an agent.
type agentBeater struct{ a *Agent }

func (b agentBeater) Register(context.Context, laneswap.Registration) (laneswap.ServiceStatus, error) {
	return b.Service(context.Background(), b.a.id)
}

func (b agentBeater) Beat(_ context.Context, _ laneswap.ServiceID, hb laneswap.Heartbeat) error {
	b.a.Report(hb)
	return nil
}

func (b agentBeater) Service(context.Context, laneswap.ServiceID) (laneswap.ServiceStatus, error) {
	latest := b.a.reports.state()
	return laneswap.ServiceStatus{ID: b.a.id, ReportedStatus: latest.status, Message: latest.message}, nil
}

// Flush tries at once and waits until the server knows the service and
// everything that was reported before. It returns the context's error, joined
// with Err, when ctx ends first, and laneswap.ErrStopped when the agent is
// closed meanwhile.
func (a *Agent) Flush(ctx context.Context) error {
	mark := a.reports.mark()
	a.hurried.Store(true)
	a.wake()
	for {
		reached, more := a.reports.reached(mark)
		if reached {
			return nil
		}
		select {
		case <-more:
		case <-a.done:
			if reached, _ := a.reports.reached(mark); reached {
				return nil
			}
			return failed("flush", a.id, laneswap.ErrStopped)
		case <-ctx.Done():
			return failed("flush", a.id, errors.Join(ctx.Err(), a.Err()))
		}
	}
}

// Close says goodbye with StatusShutdown and ends the agent, within two seconds.
// The error says why the goodbye was not delivered. Calling it again waits for
// the first call and returns the same.
func (a *Agent) Close() error {
	return a.CloseWith(laneswap.Heartbeat{Status: laneswap.StatusShutdown})
}

// CloseWith is Close with other last words, such as the error that ends the
// program. They are sent as final: the service keeps saying them and does not go
// stale, unless somebody beats for it again. What was reported before is
// delivered first, within half of the two seconds.
func (a *Agent) CloseWith(hb laneswap.Heartbeat) error {
	a.once.Do(func() {
		a.take(hb, true)
		a.end()
	})
	<-a.done
	return a.goodbye
}

func (a *Agent) wake() {
	select {
	case a.nudge <- struct{}{}:
	default:
	}
}
