package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
	"github.com/laneswap/laneswap/client"
)

// The verbs and the errors are those of a Manager.
func Example() {
	server := httptest.NewServer(httpapi.New(laneswap.NewManager())) // as laneswapd does
	defer server.Close()

	c, err := client.New(server.URL)
	if err != nil {
		panic(err)
	}
	defer c.Close()
	ctx := context.Background()
	st, err := c.Register(ctx, laneswap.Registration{ID: "billing", Interval: 30 * time.Second})
	fmt.Println(st.Status, err)
	st, err = c.Report(ctx, "billing", laneswap.Heartbeat{Status: laneswap.StatusWarning, Message: "queue grows"})
	fmt.Println(st.Status, st.Message, err)
	err = c.Beat(ctx, "shipping", laneswap.Heartbeat{})
	fmt.Println(err, errors.Is(err, laneswap.ErrServiceNotFound))
	// Output:
	// unknown <nil>
	// warning queue grows <nil>
	// laneswap: beat "shipping": service not found true
}

// An agent beats by itself and needs no server to start.
func ExampleClient_Agent() {
	m := laneswap.NewManager()
	server := httptest.NewServer(httpapi.New(m))
	defer server.Close()

	c, err := client.New(server.URL)
	if err != nil {
		panic(err)
	}
	defer c.Close()
	a, err := c.Agent(laneswap.Registration{ID: "nightly-backup", Interval: 10 * time.Second})
	if err != nil {
		panic(err)
	}
	err = a.Do(context.Background(), func(context.Context) error { return errors.New("disk full") })
	fmt.Println("the job says:", err)
	if err := a.Flush(context.Background()); err != nil {
		panic(err)
	}
	st, _ := m.Service(context.Background(), a.ID())
	fmt.Println("the monitor says:", st.Status, st.Message)
	fmt.Println(a.Close())
	// Output:
	// the job says: disk full
	// the monitor says: error disk full
	// <nil>
}
