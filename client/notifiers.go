package client

import (
	"context"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/laneswap/laneswap"
)

// testPatience is added to the timeout of a test of a notifier: the limit of the handler
// of adapters/httpapi.
const testPatience = 90 * time.Second

// Explain returns what happened to the notices of an event; see
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

// Notifiers returns the states of the server's notifiers; see laneswap.Manager.Notifiers.
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

// TestNotifier makes the server send a test message through a notifier; see
// laneswap.Manager.TestNotifier. It may take 90 seconds longer than other calls. When ctx
// ends, the server aborts the test.
func (c *Client) TestNotifier(ctx context.Context, name string) (laneswap.NotifierTest, error) {
	var test laneswap.NotifierTest
	// Not repeated: the server would send two messages.
	err := c.ask(ctx, name, laneswap.ErrNotifierNotFound, request{
		method: http.MethodPost, path: []string{"notifiers", name, "test"}, patience: testPatience,
	}, &test)
	if err != nil {
		return laneswap.NotifierTest{}, failed("test notifier", laneswap.ServiceID(name), err)
	}
	return test, nil
}

// maxSegment limits the length of a name in a path.
const maxSegment = 4 << 10

// ask sends a request with a name as a segment of the path. A name that a path cannot
// hold is not found.
func (c *Client) ask(ctx context.Context, name string, notFound error, r request, into any) error {
	if name == "" || name == "." || name == ".." || len(name) > maxSegment || !utf8.ValidString(name) {
		return notFound
	}
	a, err := c.call(ctx, r)
	if err != nil {
		return err
	}
	return c.decode(a, into)
}
