package mongotest

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startWait is how long a server that was started may take until it listens.
const startWait = 30 * time.Second

// Server is a server of its own, which a test may kill and start again. Its
// methods may be called concurrently; they fail the test from its goroutine only.
type Server struct {
	t      testing.TB
	binary string
	folder string

	mu      sync.Mutex // guards what is below
	address string     // once it listened; kept over restarts
	running *exec.Cmd  // nil while it is down
	stdin   io.Closer  // of running, which ends with it
	ended   chan struct{}
}

// New starts a server with an empty folder. It ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := NewDown(t)
	s.Start()
	return s
}

// NewDown returns a server that does not run yet.
func NewDown(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, binary: build(t), folder: t.TempDir(), address: "127.0.0.1:0"}
	t.Cleanup(s.Kill)
	return s
}

// URI returns the URI of the server, without a database. It does not change when
// the server is killed and started again.
func (s *Server) URI() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return "mongodb://" + s.address + "/"
}

// Start starts the server, on the port and the folder that it had before, and
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
	// It ends with the process, whose end closes its output.
	go func() {
		defer close(ended)
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		lines <- strings.TrimSpace(line)
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait()
	}()
	s.running, s.stdin, s.ended = cmd, stdin, ended
	timer := time.NewTimer(startWait)
	defer timer.Stop()
	address := ""
	select {
	case address = <-lines:
	case <-timer.C:
	}
	if address == "" {
		s.kill()
		s.t.Fatal("mongotest: the server does not listen; what it says stands above")
	}
	s.address = address
}

// Kill ends the server at once, as kill -9 does, and returns when it has ended.
// It does nothing while the server is down.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kill()
}

// kill does it; mu is held.
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
	for range 100 {
		cmd = exec.Command(name, args...)
		cmd.Stderr = os.Stderr
		if stdin, err = cmd.StdinPipe(); err != nil {
			return nil, nil, nil, err
		}
		if stdout, err = cmd.StdoutPipe(); err != nil {
			return nil, nil, nil, err
		}
		// A process that another test started just now may still have the file open
		// for writing, until it executes its own.
		if err = cmd.Start(); !errors.Is(err, syscall.ETXTBSY) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return cmd, stdin, stdout, err
}
