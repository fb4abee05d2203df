package cli_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/cmd/internal/cli"
)

// daemon is a server command that runs in this process, in memory unless told
// otherwise.
type daemon struct {
	log  *buffer
	stop chan os.Signal
	done chan int
}

func startDaemon(run func(cli.Process) int, environ []string, args ...string) daemon {
	environ = append([]string{"LANESWAP_STORAGE=memory"}, environ...)
	d := daemon{log: new(buffer), stop: make(chan os.Signal, 2), done: make(chan int, 1)}
	go func() {
		d.done <- run(cli.Process{Args: args, Environ: environ, Stdout: io.Discard, Stderr: d.log, Stop: d.stop})
	}()
	return d
}

// url waits for the line that says where the server listens.
func (d daemon) url(t *testing.T) string {
	t.Helper()
	line := regexp.MustCompile(`msg=listening url=(http://\S+) address=\S+ storage=(?:memory|file data=\S+) notifiers=\S+\n`)
	var url string
	require.Eventually(t, func() bool {
		if m := line.FindStringSubmatch(d.log.String()); m != nil {
			url = m[1]
		}
		return url != ""
	}, 10*time.Second, time.Millisecond)
	return url
}

func TestServer_isTheSameUnderBothNames(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]daemon{
		"laneswapd":       startDaemon(cli.Laneswapd, []string{"LANESWAP_PORT=0"}, "--host", "127.0.0.1"),
		"laneswap server": startDaemon(cli.Laneswap, []string{"LANESWAP_HOST=127.0.0.1", "LANESWAP_PORT=1"}, "server", "--port", "0"),
	} {
		url := d.url(t)
		require.Zero(t, laneswap(url, "services", "heartbeat", "a", "--create").code, name)
		d.stop <- syscall.SIGTERM
		require.Equal(t, cli.CodeOK, <-d.done, name)
		require.Equal(t, cli.CodeUnreachable, laneswap(url, "services", "list").code, name)
	}
}

func TestServer_endsAtOnceOnASecondSignal(t *testing.T) {
	t.Parallel()
	d := startDaemon(cli.Laneswapd, nil, "--host", "127.0.0.1", "--port", "0")
	url := d.url(t)
	// A request that is never finished keeps the gentle way waiting.
	conn, err := net.Dial("tcp", url[len("http://"):])
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "POST /api/services HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	require.NoError(t, err)
	res, err := http.Get(url + "/healthz")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	d.stop <- syscall.SIGTERM
	d.stop <- syscall.SIGTERM
	begun := time.Now()
	require.Equal(t, cli.CodeFailure, <-d.done)
	require.Less(t, time.Since(begun), 2*time.Second)
	require.Contains(t, d.log.String(), "laneswapd: stopped at once by a second signal, terminated\n")
}

func TestServer_saysInOneLineWhyItDoesNotStart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	require.NoError(t, err)
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--host", "127.0.0.1", "--port", port}, cli.CodeFailure, `laneswapd: cannot listen on 127\.0\.0\.1:` + port + `: bind: address already in use\n`},
		{[]string{"--storage", "file", "--data", "/none/here.db"}, cli.CodeFailure, `laneswapd: cannot open the data file /none/here\.db: the folder /none does not exist \(--data or LANESWAP_DATA chooses the file; --storage memory needs none\)\n`},
		{[]string{"--storage", "mongodb"}, cli.CodeUsage, `laneswapd: --storage \(LANESWAP_STORAGE\) is "mongodb", which needs LANESWAP_MONGODB_URI\n`},
		{[]string{"--port", "70000"}, cli.CodeUsage, `laneswapd: --port \(LANESWAP_PORT\) is "70000", it must be a whole number from 0 to 65535\n`},
		{[]string{"--prot", "1"}, cli.CodeUsage, `laneswapd: unknown flag: --prot \(see laneswapd --help\)\n`},
		{[]string{"now"}, cli.CodeUsage, `laneswapd: unknown command "now" for "laneswapd" \(see laneswapd --help\)\n`},
	} {
		d := startDaemon(cli.Laneswapd, nil, tc.args...)
		require.Equal(t, tc.code, <-d.done, tc.args)
		require.Regexp(t, "^"+tc.want+"$", d.log.String())
	}
}
