//go:build unix

package main_test

import (
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

func TestLaneswapd_endsAtOnceOnASecondSignal(t *testing.T) {
	t.Parallel()
	d := startDaemon(t, "0")
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	// A request that never ends keeps the gentle way waiting.
	_, err = io.WriteString(conn, "POST /api/services HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	require.NoError(t, err)
	code, _ := d.do(t, http.MethodGet, "/healthz", nil, "")
	require.Equal(t, http.StatusOK, code)
	d.signal(t, syscall.SIGINT)
	eventually(t, "it begins to stop", func() bool { return strings.Contains(d.stderr.String(), "msg=stopping") })
	begun := time.Now()
	d.signal(t, syscall.SIGTERM)
	require.Equal(t, 1, d.ended(t))
	require.Less(t, time.Since(begun), 2*time.Second)
}

func TestLaneswapd_keepsItsStateInAFileOfItsWorkingFolder(t *testing.T) {
	t.Parallel()
	first := start(t, "laneswapd", "--host", "127.0.0.1", "--port", "0")
	path := filepath.Join(first.cmd.Dir, "laneswap.db")
	var url string
	eventually(t, "it listens", func() bool {
		m := listening.FindStringSubmatch(first.stderr.String())
		if m != nil {
			url = m[1]
		}
		return m != nil
	})
	require.Contains(t, first.stderr.String(), " storage=file data="+path+" notifiers=slog\n")
	d := daemon{process: first, url: url}
	code, body := d.do(t, http.MethodPost, "/api/services/billing/heartbeat?create=1", nil, `{"status":"warning"}`)
	require.Equal(t, http.StatusOK, code, body)

	second := start(t, "laneswapd", "--host", "127.0.0.1", "--port", "0", "--data", path)
	require.Equal(t, 1, second.ended(t))
	require.Equal(t, "laneswapd: cannot open the data file "+path+": the file is open in another process; stop that process first (--data or LANESWAP_DATA chooses the file; --storage memory needs none)\n", second.stderr.String())

	d.signal(t, syscall.SIGKILL)
	require.Equal(t, -1, d.ended(t))
	d = startDaemon(t, "0", "--storage", "file", "--data", path)
	require.Equal(t, laneswap.StatusWarning, d.service(t, "billing").Status)
}

func TestLaneswapd_saysWhyItDoesNotStart(t *testing.T) {
	t.Parallel()
	d := startDaemon(t, "0")
	port := d.url[strings.LastIndex(d.url, ":")+1:]
	for _, tc := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"--data", "/none/laneswap.db"}, 1, "laneswapd: cannot open the data file /none/laneswap.db: the folder /none does not exist (--data or LANESWAP_DATA chooses the file; --storage memory needs none)\n"},
		{[]string{"--host", "127.0.0.1", "--port", port}, 1, "laneswapd: cannot listen on 127.0.0.1:" + port + ": bind: address already in use\n"},
		{[]string{"--port", "eighty"}, 2, "laneswapd: --port (LANESWAP_PORT) is \"eighty\", it must be a whole number from 0 to 65535\n"},
		{[]string{"--garbage"}, 2, "laneswapd: unknown flag: --garbage (see laneswapd --help)\n"},
	} {
		p := start(t, "laneswapd", tc.args...)
		require.Equal(t, tc.code, p.ended(t))
		require.Equal(t, tc.stderr, p.stderr.String())
		require.Empty(t, p.stdout.String())
	}
	p := start(t, "laneswapd", "--version")
	require.Equal(t, 0, p.ended(t))
	require.True(t, strings.HasPrefix(p.stdout.String(), "laneswapd "+laneswap.Version+" "))
}

// TestAPI_isEnoughForCurl sends what curl sends, byte for byte, and the same by
// curl itself where there is one.
func TestAPI_isEnoughForCurl(t *testing.T) {
	t.Parallel()
	d := startDaemon(t, "0")
	form := map[string]string{"User-Agent": "curl/8.5.0", "Accept": "*/*", "Content-Type": "application/x-www-form-urlencoded"}
	plain := map[string]string{"User-Agent": "curl/8.5.0", "Accept": "*/*"}
	steps := []struct {
		args   []string // of curl, without the URL
		path   string
		method string
		header map[string]string
		body   string
		code   int
		want   string
	}{
		{[]string{"-d", `{"service_id":"job","service_name":"Job"}`}, "/api/services", "POST", form, `{"service_id":"job","service_name":"Job"}`, 200, `"service_id":"job"`},
		{[]string{"-X", "POST"}, "/api/services/job/heartbeat", "POST", plain, "", 200, `"status":"healthy"`},
		{[]string{"-d", ""}, "/api/services/job/heartbeat", "POST", form, "", 200, `"status":"healthy"`},
		{nil, "/api/services", "GET", plain, "", 200, `"total":1`},
		{[]string{"-X", "DELETE"}, "/api/services/job", "DELETE", plain, "", 204, ""},
		{[]string{"-X", "DELETE"}, "/api/services/job", "DELETE", plain, "", 404, `"detail":`},
		{[]string{"-X", "POST"}, "/api/services/cron/heartbeat?create=1&interval=60", "POST", plain, "", 200, `"interval":60`},
		{[]string{"-X", "DELETE"}, "/api/services/cron", "DELETE", plain, "", 204, ""},
	}
	for _, s := range steps {
		code, body := d.do(t, s.method, s.path, s.header, s.body)
		require.Equal(t, s.code, code, body)
		require.Contains(t, body, s.want)
	}
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("there is no curl here; the same requests were sent without it")
	}
	for _, s := range steps {
		args := append([]string{"-sS", "--max-time", "20", "-w", "\n%{http_code}"}, s.args...)
		out, err := exec.CommandContext(t.Context(), curl, append(args, d.url+s.path)...).CombinedOutput()
		require.NoError(t, err, string(out))
		lines := strings.Split(string(out), "\n")
		require.Equal(t, strconv.Itoa(s.code), lines[len(lines)-1], string(out))
		require.Contains(t, string(out), s.want)
	}
}
