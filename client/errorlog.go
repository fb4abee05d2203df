package client

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/text"
	"github.com/laneswap/laneswap/internal/wirejson"
)

// pageErrors is the number of errors per page; each may be 45 KiB long.
const pageErrors = 100

// ReportError stores an error of a service; see laneswap.Manager.ReportError.
func (c *Client) ReportError(ctx context.Context, id laneswap.ServiceID, rep laneswap.ErrorReport) (laneswap.ErrorRecord, error) {
	rec, err := c.reportError(ctx, id, rep)
	if err != nil {
		return laneswap.ErrorRecord{}, failed("report error", id, err)
	}
	return rec, nil
}

func (c *Client) reportError(ctx context.Context, id laneswap.ServiceID, rep laneswap.ErrorReport) (rec laneswap.ErrorRecord, err error) {
	if err := checkSegment(id); err != nil {
		return rec, err
	}
	body, err := encodeErrorReport(rep)
	if err != nil {
		return rec, err
	}
	// Not repeated: the server would store two errors.
	a, err := c.call(ctx, request{
		method: http.MethodPost, path: []string{"services", string(id), "errors"}, body: body, kind: laneswap.ErrInvalidErrorReport,
	})
	if err != nil {
		if is413(err) {
			err = tooLargeErrorReport(rep)
		}
		return rec, err
	}
	var made wirejson.Durability
	if err := c.decode(a, &made); err != nil {
		return rec, err
	}
	err = c.decode(a, &rec)
	rec.NotDurable = made.Missing()
	return rec, err
}

// encodeErrorReport encodes a reported error.
func encodeErrorReport(rep laneswap.ErrorReport) ([]byte, error) {
	var err error
	rep.Type, rep.Message, rep.Stack = valid(rep.Type), valid(rep.Message), valid(rep.Stack)
	if rep.Metadata, err = cleanMetadata(laneswap.ErrInvalidErrorReport, rep.Metadata); err != nil {
		return nil, err
	}
	body, err := wirejson.Encode(rep)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", laneswap.ErrInvalidErrorReport, err)
	}
	if len(body) > maxErrorBytes {
		return nil, tooLargeErrorReport(rep)
	}
	return body, nil
}

// tooLargeErrorReport returns an error that names the largest field.
func tooLargeErrorReport(rep laneswap.ErrorReport) error {
	field, size := "metadata", sizeOf(rep.Metadata)
	for _, text := range []struct{ field, value string }{{"type", rep.Type}, {"message", rep.Message}, {"stack", rep.Stack}} {
		if len(text.value) > size {
			field, size = text.field, len(text.value)
		}
	}
	return oversize(laneswap.ErrInvalidErrorReport, field, size)
}

// Errors yields the reported errors of a service, newest first, page by page; see
// laneswap.Manager.Errors.
func (c *Client) Errors(ctx context.Context, id laneswap.ServiceID, q laneswap.ErrorQuery) iter.Seq2[laneswap.ErrorRecord, error] {
	return func(yield func(laneswap.ErrorRecord, error) bool) {
		q := q // the sequence may be used again
		for {
			page, next, err := c.errorsPage(ctx, id, q)
			for _, rec := range page {
				if err = ctx.Err(); err != nil {
					break
				}
				if !yield(rec, nil) {
					return
				}
			}
			if err != nil {
				yield(laneswap.ErrorRecord{}, failed("errors", id, err))
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
			q.Before = next
		}
	}
}

func (c *Client) errorsPage(ctx context.Context, id laneswap.ServiceID, q laneswap.ErrorQuery) (page []laneswap.ErrorRecord, next string, err error) {
	if err := checkSegment(id); err != nil {
		return nil, "", err
	}
	size := pageErrors
	if q.Limit != 0 { // the server refuses a negative one
		size = min(size, q.Limit)
	}
	query := url.Values{"limit": {strconv.Itoa(size)}}
	if q.Before != "" {
		query.Set("before", q.Before)
	}
	a, err := c.call(ctx, request{
		method: http.MethodGet, path: []string{"services", string(id), "errors"}, query: query, limit: maxListingBytes,
		kind: laneswap.ErrInvalidQuery,
	})
	if err != nil {
		return nil, "", err
	}
	var list struct {
		Errors []laneswap.ErrorRecord `json:"errors"`
		Next   string                 `json:"next"`
	}
	if err := c.decode(a, &list); err != nil {
		return nil, "", err
	}
	if list.Next != "" && (list.Next == q.Before || len(list.Errors) == 0) {
		// The listing would never end.
		return nil, "", fmt.Errorf("%w: the listing goes back from %q", laneswap.ErrLaneSwap, text.Cut(q.Before, maxIDBytes))
	}
	return list.Errors, list.Next, nil
}
