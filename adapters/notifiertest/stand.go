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

// maxRequest bounds what is read of one request.
const maxRequest = 256 << 20

// Stand is what a test gives to the function that makes the notifier.
type Stand struct {
	// URL is the address of the server that stands in for the receiver, such as
	// "http://127.0.0.1:4711", without a path. It is empty for Local.
	URL string

	server  *http.Server
	serving sync.WaitGroup
	release chan struct{} // closed when hanging handlers are to end
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

// request is what the server was sent.
type request struct {
	method, uri string
	header      http.Header
	body        []byte
}

// Secret returns a text to plant at a place where the notifier takes a secret: a
// part of a path, a value of a query, a password, a key, a header. It is made of
// lower-case letters, digits and dashes, 30 to 60 of them, and differs from call
// to call. The suite fails when it finds it in an error, a log or a message.
func (s *Stand) Secret(place string) string {
	secret := "canary-" + place + "-" + strings.ToLower(rand.Text())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets = append(s.secrets, secret)
	return secret
}

// Logger returns a logger for notifiers that take one: the suite reads along. What
// goes through package log, and so what slog writes by default, is read as well.
func (s *Stand) Logger() *slog.Logger { return s.log }

// newStand makes a stand without a server.
func (r *run) newStand() *Stand {
	s := &Stand{release: make(chan struct{})}
	s.log = slog.New(slog.NewTextHandler(s, &slog.HandlerOptions{Level: slog.LevelDebug - 100}))
	readAlong(r.T, s)
	r.Cleanup(s.close)
	return s
}

// newServer makes a stand with a server that takes everything.
func (r *run) newServer() *Stand {
	r.Helper()
	return r.serve("http", func(l net.Listener) net.Listener { return l })
}

// newTLSServer is a server with a certificate that nobody trusts.
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

// serve starts a server. It is none of httptest: closing one of those closes idle
// connections of http.DefaultTransport, to whomever they lead, and notifiers may
// use that one.
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
		ErrorLog:          log.New(io.Discard, "", 0), // that a connection was reset is the point
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

// selfSigned is a certificate for loopback.
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

// Write takes what is logged.
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
		return // the sender went away: nothing was received
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

// received are the requests so far.
func (s *Stand) received() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// connections is how many were opened so far.
func (s *Stand) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

// found is the secret that text holds, in any case of letters; "" when none.
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

// logs is what was logged so far.
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

// along is who reads what goes through package log.
var along struct {
	once   sync.Once
	mu     sync.Mutex // guards stands
	stands map[*Stand]bool
}

// readAlong lets s read what goes through package log until the test is over. The
// output of that package is changed for good, for it cannot be known who else
// changes it meanwhile; it still goes where it went.
func readAlong(t *testing.T, s *Stand) {
	along.once.Do(func() {
		along.stands = map[*Stand]bool{}
		log.SetOutput(copies{log.Writer()})
	})
	along.mu.Lock()
	defer along.mu.Unlock()
	along.stands[s] = true
	t.Cleanup(func() {
		along.mu.Lock()
		defer along.mu.Unlock()
		delete(along.stands, s)
	})
}

// copies writes on, and to all who read along.
type copies struct{ to io.Writer }

func (c copies) Write(p []byte) (int, error) {
	along.mu.Lock()
	for s := range along.stands {
		_, _ = s.Write(p)
	}
	along.mu.Unlock()
	return c.to.Write(p)
}
