// Package fakediscord is a stand-in for the part of Discord's HTTP API that
// webhooks use, stricter than Discord: what Discord documents it enforces, and what
// LaneSwap demands of its own messages too. It is for tests, in this process or in
// others, and reaches no network but the loopback.
//
//	fake := fakediscord.New()
//	defer fake.Close()
//	base, err := fake.Listen() // or fake.Client(), without a network
//	n, err := discord.New(fake.Webhook(), discord.WithAPIBase(base))
//	...
//	fake.Messages()   // what was taken
//	fake.Violations() // what no client may do: empty, or the test fails
//
// The limits are those of the documentation of webhooks, messages and rate limits
// at discord.com/developers/docs; lengths are counted in UTF-16 units, which is
// never less than what Discord counts.
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

// Server is the stand-in: an http.Handler that keeps what it was told. Its methods
// may be called concurrently. In a synctest bubble it must be made inside of it,
// used through Client, and closed before the bubble ends.
type Server struct {
	window  Limit
	channel Limit
	done    chan struct{} // closed by Close: lets everything go that hangs

	mu         sync.Mutex // guards what follows
	webhooks   map[string]*webhook
	first      string // the id of the webhook that New made
	channels   map[string]*bucket
	script     []Answer
	respond    func(Request) Answer
	onRequest  func(Request)
	onReceipt  func(Message)
	requests   []Request
	messages   []Message
	violations []Violation
	global     time.Time // until then everybody was asked to wait
	serial     uint64
	servers    []*http.Server
	pipes      *pipes
	closed     bool
}

// webhook is one that exists, or existed.
type webhook struct {
	id, token string
	channel   string
	gone      bool
	buckets   map[string]*bucket // by method
	waiting   time.Time          // until then its clients were asked to wait
}

// Option changes a Server while it is made.
type Option func(*Server)

// Limit is how many requests are taken in a time. The zero value takes all.
type Limit struct {
	Requests int
	Per      time.Duration
}

// WithLimits sets the limits of each webhook, announced in the headers of every
// answer, and of each channel, which is noticed only when it is reached: as it is
// seen of Discord. Without it they are 5 in 2 seconds and 30 in a minute.
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

// Webhook returns the URL of the webhook that New made, as people copy it from
// Discord.
func (s *Server) Webhook() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.webhooks[s.first].url()
}

// AddWebhook makes another webhook, of the channel of that name, and returns its
// URL. That of New is in the channel "alerts".
func (s *Server) AddWebhook(channel string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(channel).url()
}

// DeleteWebhook deletes the webhook that New made: from now on there is no such
// webhook, 404 with the code 10015.
func (s *Server) DeleteWebhook() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.webhooks[s.first].gone = true
}

// Secret returns the token of the webhook that New made, for tests that look for it
// where it must not be.
func (s *Server) Secret() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.webhooks[s.first].token
}

// add makes a webhook; mu is held, or s not yet shared.
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

// snowflake makes an id as Discord makes them: the milliseconds since 2015, and a
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

// Client returns a client whose every request, whatever its host, is served by s
// over net.Pipe: nothing leaves the process.
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

// OnRequest has hook called with every request before its message is taken: a test
// that ends the sender there has one of a message that never arrived. nil calls
// nothing.
func (s *Server) OnRequest(hook func(Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onRequest = hook
}

// OnReceipt has hook called with every message after it was taken and before the
// answer is written: a test that ends the sender there has a message of which its
// sender does not know. nil calls nothing.
func (s *Server) OnReceipt(hook func(Message)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onReceipt = hook
}
