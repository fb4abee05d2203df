package ledger

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/laneswap/laneswap"
)

// check is Check without what was found before.
func (l *Ledger) check(ctx context.Context) error {
	events, err := l.sort(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range l.accounts() {
		f := found{events: events[a.id]}
		if f.status, err = l.server.service(ctx, a.id); err != nil {
			return fmt.Errorf("%s: %w", a.id, err)
		}
		if f.status != nil {
			if f.errors, err = l.errors(ctx, a.id, errorsLooked); err != nil {
				return err
			}
		}
		errs = append(errs, a.compare(f, l.life, a.asked != l.run, l.opts.StorageLeaves))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := l.checkPulses(ctx); err != nil {
		return err
	}
	if err := l.checkList(ctx); err != nil {
		return err
	}
	present := l.present()
	for range min(2, len(present)) {
		if err := l.checkHistory(ctx, present[l.rand.IntN(len(present))]); err != nil {
			return err
		}
	}
	return nil
}

// sort reads what happened since the last time, by service. Events that are no
// account's are judged at once.
func (l *Ledger) sort(ctx context.Context) (map[laneswap.ServiceID][]laneswap.Event, error) {
	news, err := l.book.news(ctx, l.server)
	if err != nil {
		return nil, err
	}
	events := map[laneswap.ServiceID][]laneswap.Event{}
	for _, ev := range news {
		i := slices.IndexFunc(l.pulses, func(p *pulse) bool { return p.id == ev.Service })
		switch {
		case i >= 0:
			l.pulses[i].judge(ev)
		case ev.Service == "":
			// Also a file is away for a while where its disk has much to do.
			if ev.Kind != laneswap.EventStorageAway && ev.Kind != laneswap.EventStorageBack {
				l.violated("event %s: %s", ev.Kind, ev.Message)
			}
		default:
			events[ev.Service] = append(events[ev.Service], ev)
		}
	}
	return events, nil
}

// errors asks for reported errors, as server.read does.
func (l *Ledger) errors(ctx context.Context, id laneswap.ServiceID, limit int) (out []laneswap.ErrorRecord, err error) {
	for range storageTries {
		if out, err = l.errorsOnce(ctx, id, limit); !errors.Is(err, laneswap.ErrStorage) {
			break
		}
	}
	return out, err
}

func (l *Ledger) errorsOnce(ctx context.Context, id laneswap.ServiceID, limit int) (out []laneswap.ErrorRecord, err error) {
	for rec, err := range l.server.client.Errors(ctx, id, laneswap.ErrorQuery{Limit: limit}) {
		if err != nil {
			return nil, err
		}
		out = append(out, rec)
	}
	return out, nil
}

// present are the accounts of services that are there.
func (l *Ledger) present() []*account {
	return slices.DeleteFunc(l.accounts(), func(a *account) bool { return !a.now().present })
}

// checkPulses looks for the services that do nothing but beat.
func (l *Ledger) checkPulses(ctx context.Context) error {
	for _, p := range l.pulses {
		p.mu.Lock()
		there := p.there
		p.mu.Unlock()
		st, err := l.server.service(ctx, p.id)
		if err != nil {
			return err
		}
		if there && (st == nil || st.Window != p.window) {
			return fmt.Errorf("%s was registered with a window of %v, and is %+v", p.id, p.window, st)
		}
	}
	return nil
}

// checkList requires that there are no other services than those of the ledger.
func (l *Ledger) checkList(ctx context.Context) error {
	known := map[laneswap.ServiceID]bool{}
	for _, a := range l.present() {
		known[a.id] = true
	}
	for _, p := range l.pulses {
		known[p.id] = true
	}
	var list struct {
		Services map[laneswap.ServiceID]laneswap.ServiceStatus
	}
	if err := l.server.read(ctx, "/api/services", &list); err != nil {
		return err
	}
	for id := range list.Services {
		if !known[id] {
			return fmt.Errorf("%s is listed, and should not be there", id)
		}
	}
	for _, a := range l.present() {
		if _, ok := list.Services[a.id]; !ok {
			return fmt.Errorf("%s is not listed", a.id)
		}
	}
	return nil
}

const (
	historyMost = 10_000 // items that a history lists
	errorsKept  = 1000   // of each service
)

// checkHistory compares all that ever happened to a service.
func (l *Ledger) checkHistory(ctx context.Context, a *account) error {
	query := url.Values{"from": {l.born.UTC().Format(time.RFC3339)}, "limit": {fmt.Sprint(historyMost)}}
	var h laneswap.History
	if err := l.server.read(ctx, path(a.id, "history")+"?"+query.Encode(), &h); err != nil {
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

// CheckAll compares, besides what Check does, the whole history of every service
// and all of its errors, and that no event that was there has gone.
func (l *Ledger) CheckAll(ctx context.Context) error {
	if err := l.Check(ctx); err != nil {
		return err
	}
	for _, a := range l.present() {
		if err := l.checkHistory(ctx, a); err != nil {
			return err
		}
		s := a.now()
		got, err := l.errors(ctx, a.id, 0)
		if err != nil {
			return err
		}
		if problem := sameErrors(a.errors[s.oldest:s.errors], got, errorsKept); problem != "" {
			return fmt.Errorf("errors of %s: %s", a.id, problem)
		}
	}
	all, err := l.book.page(ctx, l.server, 0)
	if err != nil {
		return err
	}
	byService := map[laneswap.ServiceID][]laneswap.Event{}
	for _, ev := range all {
		byService[ev.Service] = append(byService[ev.Service], ev)
	}
	for _, a := range l.accounts() {
		// The oldest are no longer listed when there were very many.
		got, want := byService[a.id], a.events[:a.now().events]
		if len(all) > historyMost && len(got) < len(want) {
			want = want[len(want)-len(got):]
		}
		if problem := differ(want, got); problem != "" {
			return fmt.Errorf("events of %s: %s", a.id, problem)
		}
	}
	return l.verdict()
}
