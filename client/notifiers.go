package client

import (
	"context"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/laneswap/laneswap"
)

// testPatience is how long the server may take for a test of a notifier, besides
// the time of a call: as long as the handler of adapters/httpapi gives it.
const testPatience = 90 * time.Second

// Explain says what was decided about the notices of an event; see
// laneswap.Manager.Explain.
func (c *Client) Explain(ctx context.Context, eventID string) (laneswap.Explanation, error) {
	var explained laneswap.Explanation
	err := c.ask(ctx, eventID, laneswap.ErrEventNotFound, request{
		method: http.MethodGet, path: []string{"events", eventID, "explain"},
	}, &explained)
	if err != nil {
		return laneswap.Explanation{}, failed("explain", laneswap.ServiceID(eventID), err)
	}
	return explained, nil
}

// Notifiers says how the server's notifiers stand; see laneswap.Manager.Notifiers.
func (c *Client) Notifiers(ctx context.Context) ([]laneswap.NotifierStatus, error) {
	var list struct {
		Notifiers []laneswap.NotifierStatus `json:"notifiers"`
	}
	a, err := c.call(ctx, request{method: http.MethodGet, path: []string{"notifiers"}})
	if err == nil {
		err = c.decode(a, &list)
	}
	if err != nil {
		return nil, failed("notifiers", "", err)
	}
	return list.Notifiers, nil
}

// TestNotifier has the server send a test message through a notifier; see
// laneswap.Manager.TestNotifier. It may wait a minute and a half longer than other
// calls. The test is given up when ctx ends.
func (c *Client) TestNotifier(ctx context.Context, name string) (laneswap.NotifierTest, error) {
	var test laneswap.NotifierTest
	// Not repeated: it would be two messages.
	err := c.ask(ctx, name, laneswap.ErrNotifierNotFound, request{
		method: http.MethodPost, path: []string{"notifiers", name, "test"}, patience: testPatience,
	}, &test)
	if err != nil {
		return laneswap.NotifierTest{}, failed("test notifier", laneswap.ServiceID(name), err)
	}
	return test, nil
}

// mostSegment bounds what is put into a path besides the ids of services.
const mostSegment = 4 << 10

// ask sends a request about something whose name is a segment of the path. What
// cannot travel in one, and so is the name of nothing that is there, is not found.
func (c *Client) ask(ctx context.Context, name string, notFound error, r request, into any) error {
	if name == "" || name == "." || name == ".." || len(name) > mostSegment || !utf8.ValidString(name) {
		return notFound
	}
	a, err := c.call(ctx, r)
	if err != nil {
		return err
	}
	return c.decode(a, into)
}
