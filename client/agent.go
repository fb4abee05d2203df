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
	// DefaultInterval is the interval of an agent whose registration sets none.
	DefaultInterval = 10 * time.Second

	closeTimeout = 2 * time.Second // of Close, for the final heartbeat
)

// Agent sends the heartbeats of one service in the background, also while the server
// cannot be reached. Client.Agent creates it, Close ends it. Its methods never wait for
// the network, except Flush, Close and CloseWith, which are bounded. All methods may be
// called concurrently.
//
// Every heartbeat repeats the state of the latest Report. Changes of status are delivered
// in order, at most the latest 64 after an outage. Of everything else only the latest
// value counts, so the memory of an agent does not grow during an outage.
//
// An agent repeats a failed heartbeat up to four times within the interval, then at its
// end, and never stops trying. It registers again, under the same id, when the server no
// longer knows the service or was restarted. It repeats a heartbeat that the server finds
// invalid without message and metadata.
type Agent struct {
	c       *Client
	id      laneswap.ServiceID
	reg     []byte // the encoded registration
	timeout time.Duration

	watchdog bool
	ticked   atomic.Bool
	hurried  atomic.Bool
	nudge    chan struct{} // wakes the loop
	reports  *reports
	plan     *plan  // the loop's
	known    bool   // the loop's: the server knows the service
	boot     string // the loop's: the run of the server that does
	bare     uint64 // the loop's: the report that the server accepted only without content
	voice    *voice // the loop's

	mu           sync.Mutex // guards what follows
	err          error      // of the latest attempt
	dropped      error      // says what the latest report dropped; nil for nothing
	dropReported bool       // dropped was passed to OnError

	once    sync.Once
	quit    context.Context // ends with Close
	end     context.CancelFunc
	done    chan struct{} // closed when the loop has ended
	goodbye error         // set before done is closed
}

// AgentOption is an option of Client.Agent.
type AgentOption func(*Agent)

// WithOnError sets a function that receives the errors of heartbeats that are not
// delivered, or not as reported: at first at once, then for each kind of failure at most
// once a minute. The agent's goroutine calls it, so heartbeats wait while it runs. The
// agent recovers its panics.
func WithOnError(f func(error)) AgentOption {
	return func(a *Agent) { a.voice.onError = f }
}

// WithWatchdog sends a heartbeat only if Tick was called since the one before, so that a
// program with a hanging loop goes stale although its process lives. The first heartbeat
// waits for the first Tick. A change of status is sent without one.
func WithWatchdog() AgentOption {
	return func(a *Agent) { a.watchdog = true }
}

// Agent creates and starts an agent for a service. It returns at once and does not need
// the server: the agent registers in the background. Err and WithOnError report the
// server's errors.
//
// The ID defaults to DefaultID(reg.Name), the Interval to DefaultInterval. Agent returns
// an error for a registration with neither name nor id, with an invalid id, or with an
// interval or metadata that cannot be sent.
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

// Report sets the state of the service. Every heartbeat repeats it until the next Report.
// It never waits. The agent sends a change of status at once, anything else at most once
// a second. Metadata is merged; a nil value removes its key.
//
// Report drops what cannot be sent, and Err and WithOnError report that: an invalid
// status changes nothing, a message is cut to 4 KiB, and metadata is kept up to 64 keys
// and 8 KiB. Report ignores Final; use CloseWith. After Close it does nothing.
func (a *Agent) Report(hb laneswap.Heartbeat) {
	a.take(hb, false)
	a.wake()
}

func (a *Agent) take(hb laneswap.Heartbeat, last bool) {
	err := a.reports.add(hb, last)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dropped, a.dropReported = failed("report", a.id, err), false
}

// Tick reports progress of the program's work; see WithWatchdog. It costs one atomic
// store.
func (a *Agent) Tick() { a.ticked.Store(true) }

// Err returns the error of the latest delivery, or else what the latest Report had to
// drop; nil for neither.
func (a *Agent) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return a.err
	}
	return a.dropped
}

// Do runs fn and reports busy before it and healthy after it, or error if fn returns one
// or panics; see laneswap.Wrap. Do lets a panic continue after its report was delivered,
// or after two seconds. Heartbeats continue while fn runs.
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

// Flush sends at once and waits until the server has the registration and all earlier
// reports. If ctx ends first, it returns the context's error joined with Err. If the
// agent is closed meanwhile, it returns laneswap.ErrStopped.
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

// Close sends a final heartbeat with StatusShutdown and ends the agent, within two
// seconds. The error tells why that heartbeat was not delivered. A second call waits for
// the first and returns the same.
func (a *Agent) Close() error {
	return a.CloseWith(laneswap.Heartbeat{Status: laneswap.StatusShutdown})
}

// CloseWith is Close with another final heartbeat, such as the error that ends the
// program. The service keeps its status and does not go stale, until another heartbeat
// comes. Earlier reports are delivered first, within half of the two seconds.
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
