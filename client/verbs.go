package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"unicode/utf8"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/wirejson"
)

// Register registers or updates a service; see laneswap.Manager.Register.
func (c *Client) Register(ctx context.Context, reg laneswap.Registration) (laneswap.ServiceStatus, error) {
	st, err := c.register(ctx, reg)
	if err != nil {
		id := reg.ID
		if id == "" {
			id = laneswap.ServiceID(reg.Name)
		}
		return laneswap.ServiceStatus{}, failed("register", id, err)
	}
	return st, nil
}

func (c *Client) register(ctx context.Context, reg laneswap.Registration) (laneswap.ServiceStatus, error) {
	var none laneswap.ServiceStatus
	body, err := encodeRegistration(reg)
	if err != nil {
		return none, err
	}
	a, err := c.post(ctx, body, reg.ID != "", "return=representation")
	if err != nil {
		if is413(err) {
			err = tooLargeRegistration(reg)
		}
		return none, err
	}
	var made struct {
		ServiceID laneswap.ServiceID `json:"service_id"`
		ID        laneswap.ServiceID `json:"id"`
		wirejson.Durability
	}
	if err := c.decode(a, &made); err != nil {
		return none, err
	}
	if made.ID == "" { // the server returned only the id
		st, err := c.service(ctx, made.ServiceID)
		st.NotDurable = made.Missing()
		return st, err
	}
	var st laneswap.ServiceStatus
	return st, c.decode(a, &st)
}

// post registers with an encoded body.
func (c *Client) post(ctx context.Context, body []byte, repeat bool, prefer string) (answer, error) {
	return c.call(ctx, request{
		method: http.MethodPost, path: []string{"services"}, body: body, repeat: repeat, prefer: prefer,
		kind: laneswap.ErrInvalidRegistration,
	})
}

// Beat sends a heartbeat and waits for the answer, which an Agent does not; see
// laneswap.Manager.Beat.
func (c *Client) Beat(ctx context.Context, id laneswap.ServiceID, hb laneswap.Heartbeat) error {
	_, err := c.heartbeat(ctx, id, hb, "return=minimal")
	return failed("beat", id, err)
}

// Report sends a heartbeat and returns the status of the service after it; see
// laneswap.Manager.Report.
func (c *Client) Report(ctx context.Context, id laneswap.ServiceID, hb laneswap.Heartbeat) (laneswap.ServiceStatus, error) {
	var st laneswap.ServiceStatus
	a, err := c.heartbeat(ctx, id, hb, "")
	if err == nil {
		err = c.decode(a, &st)
	}
	if err != nil {
		return laneswap.ServiceStatus{}, failed("report", id, err)
	}
	return st, nil
}

func (c *Client) heartbeat(ctx context.Context, id laneswap.ServiceID, hb laneswap.Heartbeat, prefer string) (answer, error) {
	if err := checkSegment(id); err != nil {
		return answer{}, err
	}
	body, err := encodeHeartbeat(hb)
	if err != nil {
		return answer{}, err
	}
	a, err := c.beatEncoded(ctx, id, body, prefer)
	if err != nil && is413(err) {
		err = tooLargeHeartbeat(hb)
	}
	return a, err
}

// beatEncoded sends a heartbeat with an encoded body; nil is the empty one.
func (c *Client) beatEncoded(ctx context.Context, id laneswap.ServiceID, body []byte, prefer string) (answer, error) {
	return c.call(ctx, request{
		method: http.MethodPost, path: []string{"services", string(id), "heartbeat"}, body: body, prefer: prefer,
		repeat: true, kind: laneswap.ErrInvalidHeartbeat,
	})
}

// Service returns the status of a service; see laneswap.Manager.Service.
func (c *Client) Service(ctx context.Context, id laneswap.ServiceID) (laneswap.ServiceStatus, error) {
	st, err := c.service(ctx, id)
	if err != nil {
		return laneswap.ServiceStatus{}, failed("service", id, err)
	}
	return st, nil
}

func (c *Client) service(ctx context.Context, id laneswap.ServiceID) (st laneswap.ServiceStatus, err error) {
	if err := checkSegment(id); err != nil {
		return st, err
	}
	a, err := c.call(ctx, request{method: http.MethodGet, path: []string{"services", string(id)}})
	if err != nil {
		return st, err
	}
	return st, c.decode(a, &st)
}

// Remove removes a service; see laneswap.Manager.Remove.
func (c *Client) Remove(ctx context.Context, id laneswap.ServiceID) error {
	return failed("remove", id, c.remove(ctx, id))
}

func (c *Client) remove(ctx context.Context, id laneswap.ServiceID) error {
	if err := checkSegment(id); err != nil {
		return err
	}
	a, err := c.call(ctx, request{method: http.MethodDelete, path: []string{"services", string(id)}})
	if err != nil || len(a.body) == 0 {
		return err
	}
	var removed wirejson.Durability
	if err := c.decode(a, &removed); err != nil {
		return err
	}
	if removed.Missing() {
		return laneswap.ErrDegraded
	}
	return nil
}

// Summary counts the services; see laneswap.Manager.Summary.
func (c *Client) Summary(ctx context.Context) (laneswap.Summary, error) {
	var sum laneswap.Summary
	a, err := c.call(ctx, request{method: http.MethodGet, path: []string{"summary"}})
	if err == nil {
		err = c.decode(a, &sum)
	}
	if err != nil {
		return laneswap.Summary{}, failed("summary", "", err)
	}
	if sum.Counts == nil {
		sum.Counts = map[laneswap.Status]int{}
	}
	return sum, nil
}

// checkSegment refuses ids that a path cannot hold: empty ones, directories, and those far
// beyond every limit. The server checks all others.
func checkSegment(id laneswap.ServiceID) error {
	if id == "" || id == "." || id == ".." || len(id) > 4*maxIDBytes || !utf8.ValidString(string(id)) {
		if err := laneswap.ValidateServiceID(id); err != nil {
			return err
		}
	}
	return nil
}

// is413 reports whether the server refused a body as too large.
func is413(err error) bool {
	var e *ResponseError
	return errors.As(err, &e) && e.StatusCode == http.StatusRequestEntityTooLarge
}

// tooLargeRegistration returns an error that names the largest field, like the Manager.
func tooLargeRegistration(reg laneswap.Registration) error {
	field, size := "metadata", sizeOf(reg.Metadata)
	if len(reg.Name) > size {
		field, size = "name", len(reg.Name)
	}
	tags, largest := 0, 0
	for i, tag := range reg.Tags {
		tags += len(tag)
		if len(tag) > len(reg.Tags[largest]) {
			largest = i
		}
	}
	if tags > size {
		field, size = "tags", tags
		if len(reg.Tags) <= 32 {
			field = fmt.Sprintf("tags[%d]", largest)
		}
	}
	if len(reg.ID) > size {
		return laneswap.ValidateServiceID(reg.ID)
	}
	return oversize(laneswap.ErrInvalidRegistration, field, size)
}

func tooLargeHeartbeat(hb laneswap.Heartbeat) error {
	field, size := "metadata", sizeOf(hb.Metadata)
	if len(hb.Message) > size {
		field, size = "message", len(hb.Message)
	}
	if len(hb.Status) > size {
		field, size = "status", len(hb.Status)
	}
	return oversize(laneswap.ErrInvalidHeartbeat, field, size)
}

func oversize(kind error, field string, size int) error {
	return &laneswap.ValidationError{
		Field: field, Err: kind,
		Problem: fmt.Sprintf("is %d bytes long and makes the request larger than the server accepts", size),
	}
}

func sizeOf(metadata map[string]any) int {
	if len(metadata) == 0 {
		return 0
	}
	data, _ := wirejson.Encode(metadata) // it was encoded before
	return len(data)
}
