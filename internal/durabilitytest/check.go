package durabilitytest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/laneswap/laneswap"
)

// check is Check without earlier failures.
func (c *Checker) check(ctx context.Context) error {
	events, err := c.sort(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range c.services() {
		f := found{events: events[a.id]}
		if f.status, err = c.server.service(ctx, a.id); err != nil {
			return fmt.Errorf("%s: %w", a.id, err)
		}
		if f.status != nil {
			if f.errors, err = c.errors(ctx, a.id, errorsLooked); err != nil {
				return err
			}
		}
		errs = append(errs, a.compare(f, c.life, a.asked != c.run, c.opts.StorageLeaves))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := c.checkBeaters(ctx); err != nil {
		return err
	}
	if err := c.checkList(ctx); err != nil {
		return err
	}
	present := c.present()
	for range min(2, len(present)) {
		if err := c.checkHistory(ctx, present[c.rand.IntN(len(present))]); err != nil {
			return err
		}
	}
	return nil
}

// sort returns the new events by service. It checks other events at once.
func (c *Checker) sort(ctx context.Context) (map[laneswap.ServiceID][]laneswap.Event, error) {
	news, err := c.log.news(ctx, c.server)
	if err != nil {
		return nil, err
	}
	events := map[laneswap.ServiceID][]laneswap.Event{}
	for _, ev := range news {
		i := slices.IndexFunc(c.beaters, func(p *beater) bool { return p.id == ev.Service })
		switch {
		case i >= 0:
			c.beaters[i].checkEvent(ev)
		case ev.Service == "":
			// On a busy disk a file too can be slow for a while.
			if ev.Kind != laneswap.EventStorageAway && ev.Kind != laneswap.EventStorageBack {
				c.fail("event %s: %s", ev.Kind, ev.Message)
			}
		default:
			events[ev.Service] = append(events[ev.Service], ev)
		}
	}
	return events, nil
}

// errors reads reported errors, with the retries of server.read.
func (c *Checker) errors(ctx context.Context, id laneswap.ServiceID, limit int) (out []laneswap.ErrorRecord, err error) {
	for range storageTries {
		if out, err = c.errorsOnce(ctx, id, limit); !errors.Is(err, laneswap.ErrStorage) {
			break
		}
	}
	return out, err
}

func (c *Checker) errorsOnce(ctx context.Context, id laneswap.ServiceID, limit int) (out []laneswap.ErrorRecord, err error) {
	for rec, err := range c.server.client.Errors(ctx, id, laneswap.ErrorQuery{Limit: limit}) {
		if err != nil {
			return nil, err
		}
		out = append(out, rec)
	}
	return out, nil
}

// present returns the registered services.
func (c *Checker) present() []*service {
	return slices.DeleteFunc(c.services(), func(a *service) bool { return !a.now().present })
}

// checkBeaters checks that the beaters are registered.
func (c *Checker) checkBeaters(ctx context.Context) error {
	for _, p := range c.beaters {
		p.mu.Lock()
		there := p.there
		p.mu.Unlock()
		st, err := c.server.service(ctx, p.id)
		if err != nil {
			return err
		}
		if there && (st == nil || st.Window != p.window) {
			return fmt.Errorf("%s was registered with a window of %v, and is %+v", p.id, p.window, st)
		}
	}
	return nil
}

// checkList requires that there are no other services than those of the durabilitytest.
func (c *Checker) checkList(ctx context.Context) error {
	known := map[laneswap.ServiceID]bool{}
	for _, a := range c.present() {
		known[a.id] = true
	}
	for _, p := range c.beaters {
		known[p.id] = true
	}
	var list struct {
		Services map[laneswap.ServiceID]laneswap.ServiceStatus
	}
	if err := c.server.read(ctx, "/api/services", &list); err != nil {
		return err
	}
	for id := range list.Services {
		if !known[id] {
			return fmt.Errorf("%s is listed, but it was removed or never registered", id)
		}
	}
	for _, a := range c.present() {
		if _, ok := list.Services[a.id]; !ok {
			return fmt.Errorf("%s is not listed", a.id)
		}
	}
	return nil
}

const (
	maxHistory = 10_000 // items in a history
	maxErrors  = 1000   // of each service
)

// checkHistory compares the whole history of a service.
func (c *Checker) checkHistory(ctx context.Context, a *service) error {
	query := url.Values{"from": {c.born.UTC().Format(time.RFC3339)}, "limit": {fmt.Sprint(maxHistory)}}
	var h laneswap.History
	if err := c.server.read(ctx, path(a.id, "history")+"?"+query.Encode(), &h); err != nil {
		return fmt.Errorf("history of %s: %w", a.id, err)
	}
	if problem := differ(a.events[:a.now().events], h.Events); problem != "" {
		return fmt.Errorf("history of %s: %s", a.id, problem)
	}
	incidents := downs(a.events[:a.now().events])
	if h.IncidentCount > incidents || h.IncidentCount < incidents-a.orphans {
		return fmt.Errorf("history of %s: %d incidents, want %d; spans %+v; events %+v", a.id, h.IncidentCount, incidents, h.Spans, h.Events)
	}
	if sum, period := h.Up+h.Down+h.Unknown+h.Absent, h.To.Sub(h.From); sum != period {
		return fmt.Errorf("history of %s: up, down, unknown and absent are %v together, the period is %v", a.id, sum, period)
	}
	return nil
}

// CheckAll does Check, and compares the whole history of every service, all of its
// errors, and all events.
func (c *Checker) CheckAll(ctx context.Context) error {
	if err := c.Check(ctx); err != nil {
		return err
	}
	for _, a := range c.present() {
		if err := c.checkHistory(ctx, a); err != nil {
			return err
		}
		s := a.now()
		got, err := c.errors(ctx, a.id, 0)
		if err != nil {
			return err
		}
		if problem := sameErrors(a.errors[s.oldest:s.errors], got, maxErrors); problem != "" {
			return fmt.Errorf("errors of %s: %s", a.id, problem)
		}
	}
	all, err := c.log.page(ctx, c.server, 0)
	if err != nil {
		return err
	}
	byService := map[laneswap.ServiceID][]laneswap.Event{}
	for _, ev := range all {
		byService[ev.Service] = append(byService[ev.Service], ev)
	}
	for _, a := range c.services() {
		// The server lists only the latest of very many.
		got, want := byService[a.id], a.events[:a.now().events]
		if len(all) > maxHistory && len(got) < len(want) {
			want = want[len(want)-len(got):]
		}
		if problem := differ(want, got); problem != "" {
			return fmt.Errorf("events of %s: %s", a.id, problem)
		}
	}
	return c.verdict()
}
