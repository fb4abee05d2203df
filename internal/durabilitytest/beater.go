package durabilitytest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/laneswap/laneswap"
)

// beatInterval is the time between two heartbeats of a beater.
const beatInterval = 40 * time.Millisecond

// beater is a service that beats all the time: the server must never call it stale.
type beater struct {
	c      *Checker
	id     laneswap.ServiceID
	window time.Duration

	mu    sync.Mutex  // guards the fields below
	there bool        // its registration was acknowledged
	beats []time.Time // of starts of the server, and of acknowledged heartbeats before they were sent
	stale bool        // with reason
}

// run beats until ctx ends or the server is away.
func (p *beater) run(ctx context.Context, s *server) {
	ticker := time.NewTicker(beatInterval)
	defer ticker.Stop()
	for {
		if !p.once(ctx, s) {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (p *beater) once(ctx context.Context, s *server) bool {
	p.mu.Lock()
	there := p.there
	p.mu.Unlock()
	if !there {
		st, err := s.client.Register(ctx, laneswap.Registration{ID: p.id, StaleAfter: p.window})
		if err == nil && !st.NotDurable {
			p.c.log.acknowledge()
			p.mu.Lock()
			p.there = true
			p.mu.Unlock()
		}
		return err == nil
	}
	at := time.Now()
	err := s.client.Beat(ctx, p.id, laneswap.Heartbeat{})
	if rejected(err) {
		p.c.fail("a heartbeat of %s, which was registered: %v", p.id, err)
	}
	if err == nil {
		p.received(at)
	}
	return err == nil || errors.Is(err, laneswap.ErrLoading)
}

// received records a time from which silence counts.
func (p *beater) received(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.beats = append(p.beats, at)
}

// checkEvent checks an event of the beater.
func (p *beater) checkEvent(ev laneswap.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case ev.To == laneswap.StatusStale, ev.To == laneswap.StatusUnknown:
		// It can be silent for its window only when this machine stood still.
		for _, at := range p.beats {
			if !at.After(ev.At) && ev.At.Sub(at) < p.window-time.Millisecond {
				p.c.fail("%s sent a heartbeat at %v, and became %s at %v, although its window is %v", p.id, at, ev.To, ev.At, p.window)
				break
			}
		}
		p.stale = true
	case ev.Kind == laneswap.EventUp:
	case ev.Kind == laneswap.EventRecovered && p.stale:
		p.stale = false
	default:
		p.c.fail("%s beats all the time, and still there is the event %+v", p.id, of(ev))
	}
}
