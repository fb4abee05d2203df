package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/laneswap/laneswap"
)

// Announce sends the heartbeat of a service that may not be registered yet. The server
// registers an unknown id first; a known one keeps its registration. It does both or
// nothing; see laneswap.Manager.Announce. The registration may set ID, Name, Interval,
// StaleAfter, AlertAfter and RecoverAfter. Any other field is an error that matches
// laneswap.ErrInvalidRegistration.
func (c *Client) Announce(ctx context.Context, reg laneswap.Registration, hb laneswap.Heartbeat) (laneswap.ServiceStatus, error) {
	st, err := c.announce(ctx, reg, hb)
	if err != nil {
		return laneswap.ServiceStatus{}, failed("announce", reg.ID, err)
	}
	return st, nil
}

func (c *Client) announce(ctx context.Context, reg laneswap.Registration, hb laneswap.Heartbeat) (st laneswap.ServiceStatus, err error) {
	if err := checkSegment(reg.ID); err != nil {
		return st, err
	}
	query, err := announcement(reg)
	if err != nil {
		return st, err
	}
	body, err := encodeHeartbeat(hb)
	if err != nil {
		return st, err
	}
	a, err := c.call(ctx, request{
		method: http.MethodPost, path: []string{"services", string(reg.ID), "heartbeat"}, query: query, body: body,
		repeat: true, kind: laneswap.ErrInvalidHeartbeat,
	})
	if err != nil {
		if is413(err) {
			err = tooLargeHeartbeat(hb)
		}
		return st, err
	}
	return st, c.decode(a, &st)
}

// announcement encodes a registration as a query.
func announcement(reg laneswap.Registration) (url.Values, error) {
	extra := ""
	switch {
	case len(reg.Tags) > 0:
		extra = "tags"
	case len(reg.Metadata) > 0:
		extra = "metadata"
	case reg.ForgetAfter != 0:
		extra = "forget_after"
	case reg.NoDeadline:
		extra = "no_deadline"
	case reg.MustRun:
		extra = "must_run"
	}
	if extra != "" {
		return nil, &laneswap.ValidationError{
			Field: extra, Problem: "cannot be announced with a heartbeat; register the service", Err: laneswap.ErrInvalidRegistration,
		}
	}
	if err := checkThresholds(reg); err != nil {
		return nil, err
	}
	name := valid(reg.Name)
	if len(name) > 4*maxIDBytes { // beyond every limit, and too long for a URL
		return nil, oversize(laneswap.ErrInvalidRegistration, "name", len(name))
	}
	query := url.Values{"create": {"1"}}
	if name != "" {
		query.Set("name", name)
	}
	for key, d := range map[string]time.Duration{"interval": reg.Interval, "stale_after": reg.StaleAfter} {
		if d != 0 {
			query.Set(key, strconv.FormatFloat(d.Seconds(), 'f', -1, 64))
		}
	}
	for key, t := range map[string]laneswap.Threshold{"alert_after": reg.AlertAfter, "recover_after": reg.RecoverAfter} {
		if t != (laneswap.Threshold{}) {
			query.Set(key, t.String())
		}
	}
	return query, nil
}
