package cli_test

import (
	"bytes"
	"context"
	"flag"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/cmd/internal/cli"
	"github.com/laneswap/laneswap/config"
	"github.com/laneswap/laneswap/server"
)

// TestMain lets the test binary be laneswap, and has everything that a command
// leaves in its working folder in one that goes with the tests.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "as-laneswap" {
		p := cli.Real()
		p.Args = os.Args[2:]
		os.Exit(cli.Laneswap(p))
	}
	flag.Parse()
	// More tests at a time than there are processors, since they mostly wait.
	_ = flag.Set("test.parallel", strconv.Itoa(max(8, runtime.GOMAXPROCS(0))))
	dir, err := os.MkdirTemp("", "laneswap-cli-")
	if err == nil {
		err = os.Chdir(dir)
	}
	if err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
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

// startServer runs a server until the test is over.
func startServer(t *testing.T) *server.Server {
	t.Helper()
	cfg := config.Default()
	cfg.Host, cfg.Port, cfg.Storage = "127.0.0.1", 0, config.StorageMemory
	s, err := server.Open(cfg, server.WithLogOutput(new(buffer)))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	res, err := http.Get(s.URL() + "/readyz")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-done)
	})
	return s
}

// result is what a command left.
type result struct {
	code           int
	stdout, stderr string
}

// laneswap runs the command against the server at url.
func laneswap(url string, args ...string) result {
	var stdout, stderr buffer
	code := cli.Laneswap(cli.Process{Args: args, Environ: []string{"LANESWAP_SERVER=" + url}, Stdout: &stdout, Stderr: &stderr})
	return result{code, stdout.String(), stderr.String()}
}
