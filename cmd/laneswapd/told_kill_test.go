//go:build unix

package main_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The windows in which laneswapd is killed.
const (
	beforeOutbox = iota // between the transition and its row in the outbox
	beforeSend          // between that and the message
	beforeMark          // between the message and what is stored of it
	windows
)

// TestTold_killsBetweenAllStepsLoseNoIncident kills the real laneswapd in each of
// the windows while reporters make incidents, and Discord is told. In the end
// everything that happened was told, in order, and told again only where Discord had
// a message of which laneswapd could not know.
func TestTold_killsBetweenAllStepsLoseNoIncident(t *testing.T) {
	t.Parallel()
	cycles := *toldKills
	if testing.Short() {
		cycles = min(cycles, windows)
	}
	n := newNewsroom(t, 4)
	var order []int
	var counts [windows]int
	for cycle := range cycles {
		if len(order) == 0 {
			order = n.random.Perm(windows)
		}
		window := order[0]
		order = order[1:]
		n.cycle(window)
		counts[window]++
		for _, r := range n.reporters {
			require.NoError(t, r.problem, "cycle %d", cycle)
		}
		if n.random.IntN(8) == 0 { // once more before it is up, or just then
			n.launched(true, "0")
			n.pause(0, 80*time.Millisecond)
			n.down(true)
			counts[beforeSend]++
		}
	}
	require.True(t, n.up(false, "0"))
	for _, r := range n.reporters {
		require.True(t, r.finish(t.Context(), n.client), "%v\n%s", r.problem, n.said())
	}
	n.drain()
	a := n.account()
	n.signal(t, syscall.SIGTERM)
	require.Equal(t, 0, n.ended(t), n.said())
	t.Logf("%d kills: %d between transition and outbox, %d between outbox and send, %d between send and mark; %v",
		counts[beforeOutbox]+counts[beforeSend]+counts[beforeMark], counts[beforeOutbox], counts[beforeSend], counts[beforeMark], a)
}

// cycle starts laneswapd and kills it in a window.
func (n *newsroom) cycle(window int) {
	n.t.Helper()
	upToDate := n.random.IntN(2) == 0 // else it begins with what it owes
	tied := n.random.IntN(2) == 0     // to a message that comes, else to the clock
	fuse := &n.channel.fuse
	if window == beforeOutbox {
		at := []moment{requestSent, answered}[n.random.IntN(2)]
		fuse.arm(at, 1+n.random.IntN(12), time.Duration(n.random.IntN(2)*n.random.IntN(int(4*time.Millisecond))))
	}
	// What it owes may come before it is up.
	arm := func() {
		switch {
		case window == beforeSend && tied:
			fuse.arm(refused, 1, 0)
		case window == beforeMark:
			fuse.arm(received, 1+n.random.IntN(3), 0)
		}
	}
	if !upToDate {
		arm()
	}
	waits := []string{"0", "20ms", "150ms"}
	if window == beforeMark {
		waits = waits[:2] // else much is gathered before the third message
	}
	if up := n.up(!upToDate && window != beforeMark, waits[n.random.IntN(len(waits))]); up && upToDate {
		n.drain()
		arm()
		if window == beforeMark {
			n.channel.open()
		}
	} else if !up {
		n.down(false)
		return
	}
	if window == beforeSend && !tied {
		n.work(1 + n.random.IntN(6))
		n.pause(0, 200*time.Millisecond)
		n.down(true)
		return
	}
	n.work(0)
	n.down(false)
}
