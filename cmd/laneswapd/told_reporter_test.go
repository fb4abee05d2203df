//go:build unix

package main_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptrace"
	"time"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/client"
)

const (
	subjectsEach = 4 // services of which a reporter tells at a time
	// reportEvery is the pace of a reporter, so that notices are told one by one as
	// well as together.
	reportEvery = 8 * time.Millisecond
)

// report is a heartbeat that changes a status.
type report struct {
	number  int
	service laneswap.ServiceID
	status  laneswap.Status
	// happened says that the server acknowledged it as durable, or had it after it was
	// killed; void that it had not, and never will.
	happened, void bool
}

func (r *report) message() string { return fmt.Sprintf("report-%d", r.number) }

// subject is a service with the statuses that it is to have. It changes five times
// at most: who changes more often within 30 minutes is told of at intervals.
type subject struct {
	id     laneswap.ServiceID
	course []laneswap.Status
	bad    bool
	doubt  *report // the latest, when it was not acknowledged as durable
}

// reporter reports about services of its own, one report after the other.
type reporter struct {
	number   int
	random   *rand.Rand
	fuse     *fuse
	subjects []*subject // the present ones
	reports  []*report
	born     int // subjects
	problem  error
}

// work makes so many reports, or until the server is gone when that is 0.
func (r *reporter) work(ctx context.Context, c *client.Client, ops int) {
	if !r.settle(ctx, c) {
		return
	}
	ticker := time.NewTicker(reportEvery)
	defer ticker.Stop()
	for n := 0; n < ops || ops == 0; n++ {
		if s := r.pick(); s != nil && !r.step(ctx, c, s) {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// pick chooses a subject; nil while all of them are in doubt.
func (r *reporter) pick() *subject {
	for len(r.subjects) < subjectsEach {
		r.born++
		r.subjects = append(r.subjects, &subject{id: laneswap.ServiceID(fmt.Sprintf("subject-%d.%d", r.number, r.born)), course: r.course()})
	}
	var sure []*subject
	for _, s := range r.subjects {
		if s.doubt == nil {
			sure = append(sure, s)
		}
	}
	if len(sure) == 0 {
		return nil
	}
	return sure[r.random.IntN(len(sure))]
}

// course is one incident or two.
func (r *reporter) course() (all []laneswap.Status) {
	good := []laneswap.Status{laneswap.StatusHealthy, laneswap.StatusBusy, laneswap.StatusIdle}
	bad := []laneswap.Status{laneswap.StatusWarning, laneswap.StatusDegraded, laneswap.StatusError, laneswap.StatusCritical}
	incident := func(changes int) {
		for _, i := range r.random.Perm(len(bad))[:changes] {
			all = append(all, bad[i])
		}
		all = append(all, good[r.random.IntN(len(good))])
	}
	if r.random.IntN(2) == 0 {
		all = append(all, good[r.random.IntN(len(good))])
	}
	incident(1 + r.random.IntN(2))
	if len(all) <= 3 {
		incident(1)
	}
	return all
}

// step reports about a subject; false when the server is gone.
func (r *reporter) step(ctx context.Context, c *client.Client, s *subject) bool {
	rep := &report{number: r.number*1_000_000 + len(r.reports), service: s.id, status: s.course[0]}
	r.reports = append(r.reports, rep)
	sent := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(info httptrace.WroteRequestInfo) {
		if info.Err == nil {
			r.fuse.burn(requestSent)
		}
	}})
	// No window ends while the test runs: nobody is silent.
	reg := laneswap.Registration{ID: s.id, StaleAfter: time.Hour}
	st, err := c.Announce(sent, reg, laneswap.Heartbeat{Status: rep.status, Message: rep.message()})
	var refused *client.ResponseError
	if errors.As(err, &refused) {
		r.problem = fmt.Errorf("%s of %s: %w", rep.message(), s.id, err)
	}
	if err != nil || st.NotDurable {
		s.doubt = rep // until the next run
		return err == nil
	}
	r.fuse.burn(answered)
	r.happened(s, rep)
	return true
}

// happened takes a report off the course of its subject.
func (r *reporter) happened(s *subject, rep *report) {
	rep.happened = true
	s.course, s.bad, s.doubt = s.course[1:], !rep.status.Good(), nil
	if len(s.course) > 0 {
		return
	}
	for i := range r.subjects {
		if r.subjects[i] == s {
			r.subjects[i] = r.subjects[len(r.subjects)-1]
			r.subjects = r.subjects[:len(r.subjects)-1]
			return
		}
	}
}

// settle finds out what became of the reports that are in doubt; false when
// the server is gone.
func (r *reporter) settle(ctx context.Context, c *client.Client) bool {
	for i := len(r.subjects) - 1; i >= 0; i-- { // those that are done leave
		s := r.subjects[i]
		if s.doubt == nil {
			continue
		}
		st, err := c.Service(ctx, s.id)
		switch {
		case err != nil && !errors.Is(err, laneswap.ErrServiceNotFound):
			return false
		case err == nil && st.Message == s.doubt.message():
			r.happened(s, s.doubt)
		default:
			s.doubt.void, s.doubt = true, nil
		}
	}
	return true
}

// finish has all subjects that are bad recover.
func (r *reporter) finish(ctx context.Context, c *client.Client) bool {
	if !r.settle(ctx, c) {
		return false
	}
	for _, s := range r.subjects {
		s.course = s.course[len(s.course)-1:] // it is good
	}
	for i := len(r.subjects) - 1; i >= 0; i-- {
		if s := r.subjects[i]; s.bad && !r.step(ctx, c, s) {
			return false
		}
	}
	return r.settle(ctx, c)
}
