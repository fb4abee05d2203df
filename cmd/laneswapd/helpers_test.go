//go:build unix

package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

// patience is how long anything may take on a machine that is busy.
const patience = 20 * time.Second

// build builds both commands once.
var build = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "laneswap-e2e-"); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "../laneswap", ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := build(); dir != "" {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// program is the path of a built command.
func program(t *testing.T, name string) string {
	t.Helper()
	dir, err := build()
	require.NoError(t, err)
	return filepath.Join(dir, name)
}

// process is a program that the test started. It is killed when the test ends.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *buffer
	stderr *buffer
	done   chan struct{} // closed when it has ended
}

func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(program(t, name), args...), stdout: new(buffer), stderr: new(buffer), done: make(chan struct{})}
	p.cmd.Dir = t.TempDir() // where a server keeps its data unless told otherwise
	var err error
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	// A program left behind by a wrapper that was killed holds its outputs.
	p.cmd.WaitDelay = time.Second
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait() // the exit code is asked for below
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		p.stdin.Close() // which ends what it may have left behind
		<-p.done
	})
	return p
}

// ended waits for the end and returns the exit code, -1 after a signal.
func (p *process) ended(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		require.Fail(t, "the program did not end", "%v\n%s", p.cmd.Args, p.stderr)
	}
	return p.cmd.ProcessState.ExitCode()
}

// say writes a line to the program.
func (p *process) say(t *testing.T, line string) {
	t.Helper()
	_, err := io.WriteString(p.stdin, line+"\n")
	require.NoError(t, err)
}

// buffer can be read while it is written.
type buffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// daemon is a running laneswapd.
type daemon struct {
	*process
	url string
}

var listening = regexp.MustCompile(`(?m)msg=listening url=(http://127\.0\.0\.1:(\d+)) address=\S+ storage=(?:memory|file data=\S+) notifiers=\S+$`)

// startDaemon starts a laneswapd that keeps its state in memory unless told
// otherwise.
func startDaemon(t *testing.T, port string, args ...string) daemon {
	t.Helper()
	d := daemon{process: start(t, "laneswapd", append([]string{"--host", "127.0.0.1", "--port", port, "--storage", "memory"}, args...)...)}
	eventually(t, "the line that says where it listens", func() bool {
		m := listening.FindStringSubmatch(d.stderr.String())
		if m != nil {
			d.url = m[1]
		}
		return m != nil
	})
	return d
}

// wrap starts a program of the shell's under laneswap exec.
func (d daemon) wrap(t *testing.T, id, script string) *process {
	t.Helper()
	return start(t, "laneswap", "exec", "--server", d.url, "--name", id, "--id", id,
		"--interval", "200ms", "--stale-after", window.String(), "--", "/bin/sh", "-c", script)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, patience, 5*time.Millisecond, what)
}

// do sends a request and returns the status and the body.
func (d daemon) do(t *testing.T, method, path string, header map[string]string, body string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, d.url+path, strings.NewReader(body))
	require.NoError(t, err)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(got)
}

func (d daemon) service(t *testing.T, id string) laneswap.ServiceStatus {
	t.Helper()
	code, body := d.do(t, http.MethodGet, "/api/services/"+id, nil, "")
	require.Equal(t, http.StatusOK, code, body)
	var st laneswap.ServiceStatus
	require.NoError(t, json.Unmarshal([]byte(body), &st))
	return st
}

// heard is an event with the time at which it was received.
type heard struct {
	laneswap.Event
	at time.Time
	id string // the id of the stream's frame
}

// stream reads the event stream until it ends; then the channel is closed.
func (d daemon) stream(t *testing.T, header map[string]string, query string) <-chan heard {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url+"/api/events/stream"+query, nil)
	require.NoError(t, err)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode)
	events := make(chan heard, 256)
	go func() { // ends with the stream, or with the test's context
		defer close(events)
		defer res.Body.Close()
		var ev heard
		sc := bufio.NewScanner(res.Body)
		for sc.Scan() {
			name, value, _ := strings.Cut(sc.Text(), ": ")
			switch name {
			case "id":
				ev = heard{id: value}
			case "data":
				ev.at = time.Now()
				if json.Unmarshal([]byte(value), &ev.Event) == nil {
					events <- ev
				}
			}
		}
	}()
	return events
}

// next waits for the next event.
func next(t *testing.T, events <-chan heard) heard {
	t.Helper()
	select {
	case ev, ok := <-events:
		require.True(t, ok, "the stream has ended")
		require.Equal(t, fmt.Sprint(ev.Sequence), ev.id)
		return ev
	case <-time.After(patience):
		require.Fail(t, "no event came")
	}
	return heard{}
}

// none shows that no event comes for a while.
func none(t *testing.T, events <-chan heard, d time.Duration) {
	t.Helper()
	select {
	case ev, ok := <-events:
		require.Fail(t, "an event too many", "%v %+v", ok, ev)
	case <-time.After(d):
	}
}

// signal sends a signal.
func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(s))
}
