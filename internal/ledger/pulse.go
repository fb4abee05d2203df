package ledger

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/laneswap/laneswap"
)

// pulseEvery is how often a pulse beats.
const pulseEvery = 40 * time.Millisecond

// pulse is a service that does nothing but beat: its silence would be a lie.
type pulse struct {
	l      *Ledger
	id     laneswap.ServiceID
	window time.Duration

	mu    sync.Mutex  // guards what follows
	there bool        // it was acknowledged as registered
	beats []time.Time // before an acknowledged one was sent, or the server was started
	stale bool        // rightly
}

// run beats until ctx ends or the server is away.
func (p *pulse) run(ctx context.Context, s *server) {
	ticker := time.NewTicker(pulseEvery)
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

func (p *pulse) once(ctx context.Context, s *server) bool {
	p.mu.Lock()
	there := p.there
	p.mu.Unlock()
	if !there {
		st, err := s.client.Register(ctx, laneswap.Registration{ID: p.id, StaleAfter: p.window})
		if err == nil && !st.NotDurable {
			p.l.book.pledge()
			p.mu.Lock()
			p.there = true
			p.mu.Unlock()
		}
		return err == nil
	}
	at := time.Now()
	err := s.client.Beat(ctx, p.id, laneswap.Heartbeat{})
	if rejected(err) {
		p.l.violated("a heartbeat of %s, which was registered: %v", p.id, err)
	}
	if err == nil {
		p.heard(at)
	}
	return err == nil || errors.Is(err, laneswap.ErrLoading)
}

// heard says that silence counts from then on.
func (p *pulse) heard(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.beats = append(p.beats, at)
}

// judge looks at an event of the pulse.
func (p *pulse) judge(ev laneswap.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case ev.To == laneswap.StatusStale, ev.To == laneswap.StatusUnknown:
		// Who beats every 40 ms is silent for the length of its window only when this
		// machine stood still.
		for _, at := range p.beats {
			if !at.After(ev.At) && ev.At.Sub(at) < p.window-time.Millisecond {
				p.l.violated("%s was heard at %v, yet it is %s as of %v, although its window is %v", p.id, at, ev.To, ev.At, p.window)
				break
			}
		}
		p.stale = true
	case ev.Kind == laneswap.EventUp:
	case ev.Kind == laneswap.EventRecovered && p.stale:
		p.stale = false
	default:
		p.l.violated("%s does nothing but beat, yet: %+v", p.id, of(ev))
	}
}
