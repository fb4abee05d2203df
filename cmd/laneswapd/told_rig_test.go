//go:build unix

package main_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/client"
	"github.com/laneswap/laneswap/internal/fakediscord"
)

var toldKills = flag.Int("told-kills", 9, "how often laneswapd is killed while it tells people")

// newsroom is a laneswapd that is killed while it tells a channel of what its
// reporters say.
type newsroom struct {
	*rig
	channel   *channel
	reporters []*reporter
	client    *client.Client // of the present run
	runs      int
}

func newNewsroom(t *testing.T, reporters int) *newsroom {
	t.Helper()
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed=%d", s)
	n := &newsroom{
		rig: &rig{
			t: t, random: rand.New(rand.NewPCG(s, 2000)),
			args: []string{"--host", "127.0.0.1", "--port", "0", "--storage", "file", "--data", filepath.Join(t.TempDir(), "laneswap.db")},
		},
		channel: newChannel(t),
	}
	for i := range reporters {
		n.reporters = append(n.reporters, &reporter{number: i, random: rand.New(rand.NewPCG(s, uint64(2001+i))), fuse: &n.channel.fuse})
	}
	return n
}

// up starts laneswapd, which has notices wait so long for company. It returns false
// when it was killed before it was up.
func (n *newsroom) up(shut bool, wait string) bool {
	n.t.Helper()
	n.launched(shut, wait)
	up := false
	eventually(n.t, "the line that says where it listens, or its end", func() bool {
		if m := anywhere.FindStringSubmatch(n.stderr.String()); m != nil {
			n.url, up = m[1], true
			return true
		}
		select {
		case <-n.done:
			return true
		default:
			return false
		}
	})
	if !up {
		require.Equal(n.t, -1, n.ended(n.t), "it ended before it was up: %s", n.said())
		return false
	}
	var err error
	n.client, err = client.New(n.url, client.WithTimeout(patience))
	require.NoError(n.t, err)
	return true
}

// launched starts laneswapd, and does not wait for it.
func (n *newsroom) launched(shut bool, wait string) {
	n.t.Helper()
	n.runs++
	n.channel.begin(n.runs, shut, n.refusal())
	n.env = []string{
		"LANESWAP_DISCORD_WEBHOOK=" + n.channel.Webhook(), "LANESWAP_DISCORD_API_BASE=" + n.channel.base,
		"LANESWAP_DISCORD_USERNAME=" + caller(n.runs), "LANESWAP_GROUP_WAIT=" + wait,
	}
	n.launch()
	n.channel.fuse.tie(n.process)
}

// refusal is how a run's messages are not taken.
func (n *newsroom) refusal() fakediscord.Answer {
	all := []fakediscord.Answer{
		fakediscord.HangBeforeHeaders(false), fakediscord.HangAfterHeaders(false), fakediscord.Reset(false),
		fakediscord.RateLimited(300 * time.Millisecond), fakediscord.RateLimitedHTML(time.Second), fakediscord.HTML(502),
	}
	return all[n.random.IntN(len(all))]
}

// down waits for the end of a run that is killed, kills it when nothing else does,
// and disarms the fuse.
func (n *newsroom) down(kill bool) {
	n.t.Helper()
	if kill {
		n.kill()
	}
	require.Equal(n.t, -1, n.ended(n.t), n.said())
	n.channel.fuse.arm("", 0, 0)
	n.channel.fuse.tie(nil)
	if n.client != nil {
		require.NoError(n.t, n.client.Close())
		n.client = nil
	}
}

// discord is how the notifier stands.
func (n *newsroom) discord() (laneswap.NotifierStatus, bool) {
	all, err := n.client.Notifiers(n.t.Context())
	i := slices.IndexFunc(all, func(s laneswap.NotifierStatus) bool { return s.Name == "discord" })
	if err != nil || i < 0 {
		return laneswap.NotifierStatus{}, false
	}
	return all[i], true
}

// until waits for something, and says how everything stands when it does not come.
func (n *newsroom) until(what string, ok func(s laneswap.NotifierStatus) bool) {
	n.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); <-time.After(5 * time.Millisecond) {
		if s, there := n.discord(); there && ok(s) {
			return
		}
	}
	s, _ := n.discord()
	require.Fail(n.t, "it did not come: "+what, "%+v\n%d of %d messages taken\n%v\n%s",
		s, n.channel.has(), n.channel.expected(), n.channel.Violations(), n.stderr)
}

// drain waits until all that is owed was told, takes no more messages, and waits
// until laneswapd has stored what became of those before.
func (n *newsroom) drain() {
	n.t.Helper()
	n.until("everything is told", func(s laneswap.NotifierStatus) bool { return s.Waiting == 0 })
	n.channel.close()
	n.until("it knows of all messages that arrived", func(s laneswap.NotifierStatus) bool {
		want := n.channel.expected()
		return n.channel.has() == want && s.Sent == uint64(want)
	})
	for range 2 { // what was noted before it is stored with it
		eventually(n.t, "a registration is stored", func() bool {
			st, err := n.client.Register(n.t.Context(), laneswap.Registration{ID: "marker", StaleAfter: time.Hour})
			return err == nil && !st.NotDurable
		})
	}
	n.channel.mark()
}

// work has the reporters report, ops times each; 0 is until the server is gone. It
// returns when they have ended.
func (n *newsroom) work(ops int) {
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	var group sync.WaitGroup
	for _, rep := range n.reporters {
		group.Go(func() { rep.work(ctx, n.client, ops) })
	}
	group.Wait()
}
