package mongotest

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// startTimeout bounds the time until a started server listens.
const startTimeout = 30 * time.Second

// Server is a server that a test may kill and start again. Its methods may be called
// concurrently. They fail the test, so call them from its goroutine.
type Server struct {
	t      testing.TB
	binary string
	folder string

	mu      sync.Mutex // guards the fields below
	address string     // kept over restarts
	running *exec.Cmd  // nil while the server is down
	stdin   io.Closer  // the server ends when it is closed
	ended   chan struct{}
}

// New starts a server with an empty folder. It ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := NewDown(t)
	s.Start()
	return s
}

// NewDown returns a server that does not run yet. It ends with the test.
func NewDown(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, binary: build(t), folder: t.TempDir(), address: "127.0.0.1:0"}
	t.Cleanup(s.Kill)
	return s
}

// URI returns the URI of the server, without a database. It stays the same when the
// server is killed and started again.
func (s *Server) URI() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return "mongodb://" + s.address + "/"
}

// Start starts the server, on the port and with the data that it had before, and
// returns when it listens. It does nothing while the server runs.
func (s *Server) Start() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return
	}
	cmd, stdin, stdout, err := launch(s.binary, "-listen", s.address, "-data", s.folder)
	if err != nil {
		s.t.Fatalf("mongotest: %v", err)
	}
	lines, ended := make(chan string, 1), make(chan struct{})
	// It ends with the process, which closes its output.
	go func() {
		defer close(ended)
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		lines <- strings.TrimSpace(line)
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait()
	}()
	s.running, s.stdin, s.ended = cmd, stdin, ended
	timer := time.NewTimer(startTimeout)
	defer timer.Stop()
	address := ""
	select {
	case address = <-lines:
	case <-timer.C:
	}
	if address == "" {
		s.kill()
		s.t.Fatal("mongotest: the server does not listen; its error output is above")
	}
	s.address = address
}

// Kill ends the server at once, as kill -9 does, and returns when its process has
// ended. It does nothing while the server is down.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kill()
}

// kill is Kill with mu held.
func (s *Server) kill() {
	if s.running == nil {
		return
	}
	_ = s.running.Process.Kill()
	<-s.ended
	_ = s.stdin.Close()
	s.running = nil
}

// Restart kills the server and starts it again.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	s.Start()
}

// launch starts a program with pipes to its input and output.
func launch(name string, args ...string) (cmd *exec.Cmd, stdin io.WriteCloser, stdout io.ReadCloser, err error) {
	cmd = exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	if stdin, err = cmd.StdinPipe(); err == nil {
		stdout, err = cmd.StdoutPipe()
	}
	if err == nil {
		err = cmd.Start()
	}
	return cmd, stdin, stdout, err
}
