package client_test

import (
	"fmt"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
	"github.com/laneswap/laneswap/client"
)

// TestAgents_surviveARestartOfTheServer is point 7 of the issue.
func TestAgents_surviveARestartOfTheServer(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]time.Duration{"at once": 0, "after seconds": 7 * time.Second, "after minutes": 10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const many = 50
				l := newLAN(t)
				_, server := monitor(t)
				l.serve(server)
				c := l.client()
				var told errorLog
				var agents []*client.Agent
				intervals := map[laneswap.ServiceID]time.Duration{}
				for i := range many {
					reg := laneswap.Registration{Name: fmt.Sprint("service ", i), Interval: time.Duration(1+i%10) * 3 * time.Second, Metadata: map[string]any{"n": i}}
					if i%2 == 0 {
						reg.ID = laneswap.ServiceID(fmt.Sprint("chosen-", i))
					}
					a := start(t, c, reg, client.WithOnError(told.add))
					a.Report(laneswap.Heartbeat{Status: laneswap.StatusWarning, Message: fmt.Sprint("state ", i), Metadata: map[string]any{"said": i}})
					agents = append(agents, a)
					intervals[a.ID()] = reg.Interval
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				require.Empty(t, told.all())

				l.down()
				time.Sleep(away)
				m, fresh := monitor(t)
				l.serve(fresh)
				up := time.Now()
				for passed := time.Duration(0); passed <= 32*time.Second; passed += time.Second {
					synctest.Wait()
					for id, interval := range intervals {
						_, err := m.Service(t.Context(), id)
						if time.Since(up) >= interval+interval/20 {
							require.NoError(t, err, "%s is registered again within an interval", id)
						}
					}
					time.Sleep(time.Second)
				}
				seen := 0
				for st, err := range m.Services(t.Context(), laneswap.ServiceQuery{}) {
					require.NoError(t, err)
					require.Contains(t, intervals, st.ID, "no id is new")
					require.Equal(t, laneswap.StatusWarning, st.Status)
					require.Equal(t, fmt.Sprint("state ", st.Metadata["n"]), st.Message)
					require.Equal(t, st.Metadata["n"], st.Metadata["said"])
					seen++
				}
				require.Equal(t, many, seen)
				for _, a := range agents {
					require.NoError(t, a.Err())
				}
				if away == 0 {
					require.Empty(t, told.all(), "no host notices")
				}
			})
		})
	}
}

func TestAgent_registersAgainAtAServerThatKeptItsServices(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		l.serve(server)
		start(t, l.client(), laneswap.Registration{ID: "a", Interval: 10 * time.Second})
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, server.seen("/services"), 1)
		server.become(httpapi.New(m)) // another boot id, the same services
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, server.seen("/services"), 2, "once more, and no more")
		st, err := m.Service(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, laneswap.StatusHealthy, st.Status)
	})
}

// The same over TCP and in real time.
func TestAgents_surviveARestartOfARealServer(t *testing.T) {
	t.Parallel()
	run := func(address string) (m *laneswap.Manager, at string, stop func()) {
		var listener net.Listener
		require.Eventually(t, func() (ok bool) { // the address may be in use for a moment
			var err error
			listener, err = net.Listen("tcp", address)
			return err == nil
		}, 10*time.Second, 10*time.Millisecond)
		m, server := monitor(t)
		srv := &http.Server{Handler: server, ReadHeaderTimeout: time.Second}
		go func() { _ = srv.Serve(listener) }() // ended by stop
		return m, listener.Addr().String(), func() { _ = srv.Close() }
	}
	_, address, stop := run("127.0.0.1:0")
	c, err := client.New("http://" + address)
	require.NoError(t, err)
	defer c.Close()
	const interval = 200 * time.Millisecond
	ids := map[laneswap.ServiceID]bool{}
	for i := range 10 {
		a := start(t, c, laneswap.Registration{Name: fmt.Sprint("service-", i), Interval: interval})
		require.NoError(t, a.Flush(t.Context()))
		ids[a.ID()] = true
	}
	stop()
	m, _, stop := run(address)
	defer stop()
	began := time.Now()
	require.Eventually(t, func() bool {
		sum, err := m.Summary(t.Context())
		return err == nil && sum.Total == len(ids)
	}, 10*time.Second, time.Millisecond)
	t.Logf("all registered again after %v, the interval is %v", time.Since(began), interval)
	for st, err := range m.Services(t.Context(), laneswap.ServiceQuery{}) {
		require.NoError(t, err)
		require.True(t, ids[st.ID], "%s is new", st.ID)
	}
}
