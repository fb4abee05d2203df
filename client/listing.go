package client

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/text"
)

// The number of entries per page, so that an answer stays far below its limit.
const (
	pageServices = 500
	pageDetailed = 50 // services with events
	pageEvents   = 500
)

// Services yields the services selected, ordered by id, page by page; see
// laneswap.Manager.Services. Each status is as of the time when its page was read.
func (c *Client) Services(ctx context.Context, q laneswap.ServiceQuery) iter.Seq2[laneswap.ServiceStatus, error] {
	return func(yield func(laneswap.ServiceStatus, error) bool) {
		q := q // the sequence may be used again
		for {
			page, next, err := c.servicesPage(ctx, q)
			for _, st := range page {
				if err = ctx.Err(); err != nil {
					break
				}
				if !yield(st, nil) {
					return
				}
			}
			if err != nil {
				yield(laneswap.ServiceStatus{}, failed("services", "", err))
				return
			}
			if q.Limit > 0 {
				if q.Limit -= len(page); q.Limit <= 0 {
					return
				}
			}
			if next == "" {
				return
			}
			q.After = next
		}
	}
}

func (c *Client) servicesPage(ctx context.Context, q laneswap.ServiceQuery) (page []laneswap.ServiceStatus, next laneswap.ServiceID, err error) {
	size := pageServices
	if q.Events != 0 {
		size = pageDetailed
	}
	if q.Limit != 0 { // the server refuses a negative one
		size = min(size, q.Limit)
	}
	query := url.Values{"limit": {strconv.Itoa(size)}}
	set := func(key, value string) {
		if value != "" {
			query.Set(key, value)
		}
	}
	set("status", string(q.Status))
	set("tag", q.Tag)
	set("name", q.Name)
	set("after", string(q.After))
	if q.Events != 0 {
		query.Set("events", strconv.Itoa(q.Events))
	}
	a, err := c.call(ctx, request{
		method: http.MethodGet, path: []string{"services"}, query: query, limit: maxListingBytes,
		kind: laneswap.ErrInvalidQuery,
	})
	if err != nil {
		return nil, "", err
	}
	var list struct {
		Services map[laneswap.ServiceID]laneswap.ServiceStatus `json:"services"`
		Next     laneswap.ServiceID                            `json:"next"`
	}
	if err := c.decode(a, &list); err != nil {
		return nil, "", err
	}
	if list.Next != "" && list.Next <= q.After {
		// The listing would never end.
		return nil, "", fmt.Errorf("%w: the listing goes back from %q", laneswap.ErrLaneSwap, text.Cut(string(q.After), maxIDBytes))
	}
	for _, id := range slices.Sorted(maps.Keys(list.Services)) {
		page = append(page, list.Services[id])
	}
	return page, list.Next, nil
}

// Events yields the selected events that the server still has, oldest first, page by
// page; see laneswap.Manager.Events.
func (c *Client) Events(ctx context.Context, q laneswap.EventQuery) iter.Seq2[laneswap.Event, error] {
	return func(yield func(laneswap.Event, error) bool) {
		q := q // the sequence may be used again
		for {
			size := pageEvents
			if q.Limit != 0 {
				size = min(size, q.Limit)
			}
			var page []laneswap.Event
			var seq uint64
			var err error
			if q.Service != "" {
				err = laneswap.ValidateServiceID(q.Service)
			}
			if err == nil {
				page, seq, err = c.eventsPage(ctx, q, size)
			}
			for _, ev := range page {
				if err = ctx.Err(); err != nil {
					break
				}
				if !yield(ev, nil) {
					return
				}
			}
			if err != nil {
				yield(laneswap.Event{}, failed("events", q.Service, err))
				return
			}
			if q.Limit > 0 {
				if q.Limit -= len(page); q.Limit <= 0 {
					return
				}
			}
			if len(page) < size || seq <= q.After {
				return
			}
			q.After = seq
		}
	}
}

// eventsPage returns one page, and the sequence number after which the next begins.
func (c *Client) eventsPage(ctx context.Context, q laneswap.EventQuery, size int) ([]laneswap.Event, uint64, error) {
	query := url.Values{"limit": {strconv.Itoa(size)}, "after": {strconv.FormatUint(q.After, 10)}}
	if q.Service != "" {
		query.Set("service", string(q.Service))
	}
	a, err := c.call(ctx, request{
		method: http.MethodGet, path: []string{"events"}, query: query, limit: maxListingBytes,
		kind: laneswap.ErrInvalidQuery,
	})
	if err != nil {
		return nil, 0, err
	}
	var list struct {
		Events   []laneswap.Event `json:"events"`
		Sequence uint64           `json:"sequence"`
	}
	if err := c.decode(a, &list); err != nil {
		return nil, 0, err
	}
	return list.Events, list.Sequence, nil
}

// Heartbeats yields the latest heartbeats of a service that had content, oldest first;
// see laneswap.Manager.Heartbeats.
func (c *Client) Heartbeats(ctx context.Context, id laneswap.ServiceID) iter.Seq2[laneswap.HeartbeatRecord, error] {
	return func(yield func(laneswap.HeartbeatRecord, error) bool) {
		var list struct {
			Heartbeats []laneswap.HeartbeatRecord `json:"heartbeats"`
		}
		err := checkSegment(id)
		if err == nil {
			var a answer
			a, err = c.call(ctx, request{method: http.MethodGet, path: []string{"services", string(id), "heartbeats"}})
			if err == nil {
				err = c.decode(a, &list)
			}
		}
		if err != nil {
			yield(laneswap.HeartbeatRecord{}, failed("heartbeats", id, err))
			return
		}
		for _, rec := range list.Heartbeats {
			if !yield(rec, nil) {
				return
			}
		}
	}
}
