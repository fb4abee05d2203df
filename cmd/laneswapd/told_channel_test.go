//go:build unix

package main_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/fakediscord"
)

// moment is something that a kill can be tied to.
type moment string

const (
	requestSent moment = "a heartbeat was sent"
	answered    moment = "a heartbeat was acknowledged"
	refused     moment = "a message came and was not taken"
	received    moment = "a message was taken, and not answered yet"
)

// fuse kills a process at the n-th moment of a kind, or so long after it.
type fuse struct {
	mu    sync.Mutex // guards what follows
	p     *process
	at    moment
	left  int
	after time.Duration
}

// arm sets the fuse; the process may be started later.
func (f *fuse) arm(at moment, n int, after time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.left, f.after = at, n, after
}

func (f *fuse) tie(p *process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.p = p
}

// burn says that a moment has come. It returns the process when that was killed.
func (f *fuse) burn(at moment) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at != at || f.left == 0 || f.p == nil {
		return nil
	}
	if f.left--; f.left > 0 {
		return nil
	}
	kill := f.p.cmd.Process.Kill
	if f.after > 0 {
		time.AfterFunc(f.after, func() { _ = kill() }) // it may have ended
		return nil
	}
	_ = kill()
	return f.p
}

// receipt is a message that Discord has.
type receipt struct {
	fakediscord.Message
	run int // of laneswapd
	// marked says that the run had stored that the message was delivered before it was
	// killed: then nobody tells it again.
	marked bool
}

// text is all that people can read of it.
func (r receipt) text() string {
	text := r.Payload.Text()
	for _, f := range r.Files {
		text += string(f.Data)
	}
	return text
}

// channel is the channel of Discord that is told. While it is shut it takes no
// message.
type channel struct {
	*fakediscord.Server
	base string
	fuse fuse

	mu       sync.Mutex // guards what follows
	run      int        // whose messages are taken
	shut     bool
	refusal  fakediscord.Answer // while it is shut
	admitted int                // requests of this run that are taken, or were
	taken    int                // messages of this run
	receipts []receipt
}

// caller is the name under which a run of laneswapd tells: so it is known of each
// request who made it, also when it is read after its sender was killed.
func caller(run int) string { return fmt.Sprint("LaneSwap, run ", run) }

func newChannel(t *testing.T) *channel {
	t.Helper()
	c := &channel{Server: fakediscord.New(fakediscord.WithLimits(fakediscord.Limit{}, fakediscord.Limit{}))}
	t.Cleanup(c.Close)
	base, err := c.Listen()
	require.NoError(t, err)
	c.base = base
	c.Respond(c.answer)
	c.OnReceipt(c.receive)
	return c
}

// begin says that another run begins, and what its messages meet.
func (c *channel) begin(run int, shut bool, refusal fakediscord.Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.run, c.shut, c.refusal, c.admitted, c.taken = run, shut, refusal, 0, 0
}

// close takes nothing more of this run.
func (c *channel) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut = true
}

// expected returns how many messages of this run were taken or will be.
func (c *channel) expected() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.admitted
}

// open takes messages of this run again.
func (c *channel) open() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut = false
}

// has returns how many messages of this run were taken.
func (c *channel) has() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.taken
}

// mark notes that laneswapd has stored the delivery of all messages of this run.
func (c *channel) mark() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.receipts {
		if c.receipts[i].run == c.run {
			c.receipts[i].marked = true
		}
	}
}

func (c *channel) answer(r fakediscord.Request) fakediscord.Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch name := r.Payload.Username; {
	case name == nil || *name != caller(c.run): // its sender was killed before
		return fakediscord.HangBeforeHeaders(false)
	case c.shut:
		c.fuse.burn(refused)
		return c.refusal
	}
	c.admitted++
	return fakediscord.Answer{}
}

// receive is called before the answer to a message is written.
func (c *channel) receive(m fakediscord.Message) {
	c.mu.Lock()
	c.taken++
	c.receipts = append(c.receipts, receipt{Message: m, run: c.run})
	c.mu.Unlock()
	if p := c.fuse.burn(received); p != nil {
		<-p.done // it must not see the answer
	}
}

// told is all that was received.
func (c *channel) told() []receipt {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.receipts)
}
