package notifiertest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// maxRequest bounds the size of a request.
const maxRequest = 256 << 20

// Stand is the environment of one notifier under test.
type Stand struct {
	// URL is the URL of the server that plays the receiver, such as
	// "http://127.0.0.1:4711", without a path. It is empty for Local.
	URL string

	server  *http.Server
	serving sync.WaitGroup
	release chan struct{} // closed to end hanging handlers
	once    sync.Once

	log *slog.Logger

	mu       sync.Mutex // guards what follows
	logged   bytes.Buffer
	secrets  []string
	requests []request
	conns    int
	closed   bool
	reply    func(s *Stand, w http.ResponseWriter, r *http.Request)
}

// request is a recorded request.
type request struct {
	method, uri string
	header      http.Header
	body        []byte
}

// Secret returns a new secret for a setting of the notifier: a part of a path, a value
// of a query, a password, a key, a header. It has 30 to 60 lower-case letters, digits
// and dashes. The suite fails if it finds the secret in an error, a log or a message.
func (s *Stand) Secret(place string) string {
	secret := "canary-" + place + "-" + strings.ToLower(rand.Text())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets = append(s.secrets, secret)
	return secret
}

// Logger returns a logger for notifiers that take one. The suite looks for secrets in
// its output, and in that of package log, which is also that of slog by default.
func (s *Stand) Logger() *slog.Logger { return s.log }

// newStand returns a stand without a server.
func (r *run) newStand() *Stand {
	s := &Stand{release: make(chan struct{})}
	s.log = slog.New(slog.NewTextHandler(s, &slog.HandlerOptions{Level: slog.LevelDebug - 100}))
	readLog(r.T, s)
	r.Cleanup(s.close)
	return s
}

// newServer returns a stand with a server that accepts everything.
func (r *run) newServer() *Stand {
	r.Helper()
	return r.serve("http", func(l net.Listener) net.Listener { return l })
}

// newTLSServer returns a stand with a server whose certificate is not trusted.
func (r *run) newTLSServer() *Stand {
	r.Helper()
	cert, err := selfSigned()
	if err != nil {
		r.Fatalf("a certificate cannot be made: %v", err)
	}
	return r.serve("https", func(l net.Listener) net.Listener {
		return tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}})
	})
}

// serve starts a server. It does not use httptest: closing a server of httptest closes
// all idle connections of http.DefaultTransport, which notifiers may use.
func (r *run) serve(scheme string, wrap func(net.Listener) net.Listener) *Stand {
	r.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.Fatalf("the server cannot listen: %v", err)
	}
	s := r.newStand()
	s.reply = r.target.OK.reply
	s.URL = scheme + "://" + l.Addr().String()
	s.server = &http.Server{
		Handler:           http.HandlerFunc(s.receive),
		ReadHeaderTimeout: r.target.Patience,
		ErrorLog:          log.New(io.Discard, "", 0), // it would report the resets that tests cause
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				s.mu.Lock()
				s.conns++
				s.mu.Unlock()
			}
		},
	}
	s.serving.Go(func() { _ = s.server.Serve(wrap(l)) }) // ended by close
	return s
}

// selfSigned returns a certificate for loopback.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{cert}, PrivateKey: key}, err
}

// Write records what is logged.
func (s *Stand) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logged.Write(p)
}

func (s *Stand) receive(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.serving.Add(1) // with the lock, so that close does not wait before it
	s.mu.Unlock()
	defer s.serving.Done()
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	if err != nil {
		return // the sender has gone: nothing was received
	}
	s.mu.Lock()
	s.requests = append(s.requests, request{r.Method, r.RequestURI, r.Header.Clone(), body})
	reply := s.reply
	s.mu.Unlock()
	reply(s, w, r)
}

// answer sets how the server answers from now on.
func (s *Stand) answer(reply func(s *Stand, w http.ResponseWriter, r *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reply = reply
}

// received returns the requests so far.
func (s *Stand) received() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// connections returns how many connections were opened so far.
func (s *Stand) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

// found returns a secret that text holds, ignoring case; "" if none.
func (s *Stand) found(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text = strings.ToLower(text)
	for _, secret := range s.secrets {
		if strings.Contains(text, secret) {
			return secret
		}
	}
	return ""
}

// logs returns what was logged so far.
func (s *Stand) logs() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logged.String()
}

// close ends the server and every connection to it.
func (s *Stand) close() {
	s.once.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		close(s.release)
		if s.server != nil {
			_ = s.server.Close()
		}
		s.serving.Wait()
	})
}

// logReaders are the stands that read the output of package log.
var logReaders struct {
	once   sync.Once
	mu     sync.Mutex // guards stands
	stands map[*Stand]bool
}

// readLog lets s read the output of package log until the test is over. It replaces
// that output for good, because others may replace it meanwhile; the output still goes
// where it went.
func readLog(t *testing.T, s *Stand) {
	logReaders.once.Do(func() {
		logReaders.stands = map[*Stand]bool{}
		log.SetOutput(copies{log.Writer()})
	})
	logReaders.mu.Lock()
	defer logReaders.mu.Unlock()
	logReaders.stands[s] = true
	t.Cleanup(func() {
		logReaders.mu.Lock()
		defer logReaders.mu.Unlock()
		delete(logReaders.stands, s)
	})
}

// copies writes to the original output and to each stand.
type copies struct{ to io.Writer }

func (c copies) Write(p []byte) (int, error) {
	logReaders.mu.Lock()
	for s := range logReaders.stands {
		_, _ = s.Write(p)
	}
	logReaders.mu.Unlock()
	return c.to.Write(p)
}
