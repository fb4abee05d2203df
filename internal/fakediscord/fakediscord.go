// Package fakediscord fakes the part of Discord's HTTP API that webhooks use. It is
// stricter than Discord: it enforces what Discord documents, and LaneSwap's own rules
// for messages. Tests use it in this process or in others; it reaches no network but
// the loopback.
//
//	fake := fakediscord.New()
//	defer fake.Close()
//	base, err := fake.Listen() // or fake.Client(), without a network
//	n, err := discord.New(fake.Webhook(), discord.WithAPIBase(base))
//	...
//	fake.Messages()   // the accepted messages
//	fake.Violations() // broken rules: empty, or the test fails
//
// The limits are those of the documentation of webhooks, messages and rate limits
// at discord.com/developers/docs. Lengths are counted in UTF-16 units: Discord counts no
// more than that.
package fakediscord

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Server is the fake: an http.Handler that records requests and messages. Its methods
// may be called concurrently. A synctest bubble must create it inside, use it through
// Client, and close it before the bubble ends.
type Server struct {
	window  Limit
	channel Limit
	done    chan struct{} // closed by Close: ends all hangs

	mu         sync.Mutex // guards what follows
	webhooks   map[string]*webhook
	first      string // the id of the webhook that New created
	channels   map[string]*bucket
	script     []Answer
	respond    func(Request) Answer
	onRequest  func(Request)
	onReceipt  func(Message)
	requests   []Request
	messages   []Message
	violations []Violation
	global     time.Time // until then all clients must wait
	serial     uint64
	servers    []*http.Server
	pipes      *pipes
	closed     bool
}

// webhook is a webhook that exists or was deleted.
type webhook struct {
	id, token string
	channel   string
	gone      bool
	buckets   map[string]*bucket // by method
	waiting   time.Time          // until then its clients must wait
}

// Option changes a Server while New creates it.
type Option func(*Server)

// Limit is a number of requests per time. The zero value has no limit.
type Limit struct {
	Requests int
	Per      time.Duration
}

// WithLimits sets the limit of each webhook, which the headers of every answer
// announce, and that of each channel, which clients see only when they reach it, as at
// Discord. The defaults are 5 in 2 seconds and 30 in a minute.
func WithLimits(webhook, channel Limit) Option {
	return func(s *Server) { s.window, s.channel = webhook, channel }
}

// New returns a Server with one webhook. It does not listen yet.
func New(opts ...Option) *Server {
	s := &Server{
		window:   Limit{5, 2 * time.Second},
		channel:  Limit{30, time.Minute},
		done:     make(chan struct{}),
		webhooks: map[string]*webhook{},
		channels: map[string]*bucket{},
	}
	for _, opt := range opts {
		opt(s)
	}
	s.first = s.add("alerts").id
	return s
}

// Webhook returns the URL of the webhook that New created, as users copy it from
// Discord.
func (s *Server) Webhook() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.webhooks[s.first].url()
}

// AddWebhook adds a webhook to the channel of that name, and returns its URL. The
// webhook of New is in the channel "alerts".
func (s *Server) AddWebhook(channel string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(channel).url()
}

// DeleteWebhook deletes the webhook that New created: later requests get 404 with the
// code 10015.
func (s *Server) DeleteWebhook() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.webhooks[s.first].gone = true
}

// Secret returns the token of the webhook that New created, for tests that look for it
// in places where it must not be.
func (s *Server) Secret() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.webhooks[s.first].token
}

// add adds a webhook; mu is held, or s not yet shared.
func (s *Server) add(channel string) *webhook {
	token := make([]byte, 34)
	_, _ = rand.Read(token) // never fails
	w := &webhook{id: s.snowflake(), token: hex.EncodeToString(token), channel: channel, buckets: map[string]*bucket{}}
	s.webhooks[w.id] = w
	if s.channels[channel] == nil {
		s.channels[channel] = &bucket{limit: s.channel}
	}
	return w
}

func (w *webhook) url() string { return "https://discord.com/api/webhooks/" + w.id + "/" + w.token }

// snowflake returns a new id like those of Discord: the milliseconds since 2015, and a
// number. mu is held, or s not yet shared.
func (s *Server) snowflake() string {
	s.serial++
	ms := time.Now().UnixMilli() - 1420070400000
	if ms < 0 {
		ms += 20 * 365 * 24 * 3600 * 1000 // in a synctest bubble it is the year 2000
	}
	return strconv.FormatUint(uint64(ms)<<22|s.serial&(1<<22-1), 10)
}

// Listen serves on a free port of the loopback until Close, and returns the base
// of the URLs, such as "http://127.0.0.1:4711".
func (s *Server) Listen() (base string, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("fake discord: %w", err)
	}
	s.serve(ln)
	return "http://" + ln.Addr().String(), nil
}

// serve serves until Close.
func (s *Server) serve(ln net.Listener) {
	server := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.servers = append(s.servers, server)
	go func() { _ = server.Serve(ln) }() // ends with Close
}

// Client returns a client whose requests to any host are served by s over net.Pipe:
// nothing leaves the process.
func (s *Server) Client() *http.Client {
	s.mu.Lock()
	p := s.pipes
	if p == nil {
		p = newPipes()
		s.pipes = p
	}
	s.mu.Unlock()
	p.once.Do(func() { s.serve(p) })
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx) }
	transport := &http.Transport{DialContext: dial, DialTLSContext: dial}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.transports = append(p.transports, transport)
	return &http.Client{Transport: transport}
}

// Close ends what hangs, all connections and all listening. It may be called twice.
func (s *Server) Close() {
	s.mu.Lock()
	servers, p, closed := s.servers, s.pipes, s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return
	}
	close(s.done)
	for _, server := range servers {
		_ = server.Close() // it has nothing to flush
	}
	if p != nil {
		for _, t := range p.transports {
			t.CloseIdleConnections()
		}
	}
}

// OnRequest calls hook with every request before its message is accepted. A test that
// kills the sender there has a message that never arrived. nil removes the hook.
func (s *Server) OnRequest(hook func(Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onRequest = hook
}

// OnReceipt calls hook with every message after it is accepted and before the answer is
// written. A test that kills the sender there has a message whose sender does not know
// that it arrived. nil removes the hook.
func (s *Server) OnReceipt(hook func(Message)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onReceipt = hook
}
