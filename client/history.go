package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/laneswap/laneswap"
)

// History returns the uptime, spans and incidents of a service in a period; see
// laneswap.Manager.History.
func (c *Client) History(ctx context.Context, id laneswap.ServiceID, q laneswap.HistoryQuery) (laneswap.History, error) {
	past, err := c.history(ctx, id, q)
	if err != nil {
		return laneswap.History{}, failed("history", id, err)
	}
	return past, nil
}

func (c *Client) history(ctx context.Context, id laneswap.ServiceID, q laneswap.HistoryQuery) (past laneswap.History, err error) {
	if err := checkSegment(id); err != nil {
		return past, err
	}
	query := url.Values{}
	for key, at := range map[string]time.Time{"from": q.From, "to": q.To} {
		if !at.IsZero() {
			query.Set(key, at.UTC().Format(time.RFC3339Nano))
		}
	}
	if q.Limit != 0 {
		query.Set("limit", strconv.Itoa(q.Limit))
	}
	a, err := c.call(ctx, request{
		method: http.MethodGet, path: []string{"services", string(id), "history"}, query: query, limit: maxListingBytes,
		kind: laneswap.ErrInvalidQuery,
	})
	if err != nil {
		return past, err
	}
	return past, c.decode(a, &past)
}
