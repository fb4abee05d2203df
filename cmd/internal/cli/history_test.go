package cli_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	core "github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
	"github.com/laneswap/laneswap/cmd/internal/cli"
)

func TestHistory_isShownForThePeriod(t *testing.T) {
	t.Parallel()
	url := startServer(t).URL()
	for _, status := range []string{"healthy", "error", "healthy", "critical"} {
		require.Zero(t, laneswap(url, "services", "heartbeat", "a", "--create", "--status", status, "--message", "is\t"+status).code)
	}
	past := func(args ...string) core.History {
		r := laneswap(url, append([]string{"services", "history", "a", "-o", "json"}, args...)...)
		require.Zero(t, r.code, r.stderr)
		var past core.History
		require.NoError(t, json.Unmarshal([]byte(r.stdout), &past))
		return past
	}
	// A period ends before the millisecond that it is asked in.
	require.Eventually(t, func() bool { return past().IncidentCount == 2 }, 10*time.Second, time.Millisecond)
	r := laneswap(url, "services", "history", "a")
	require.Zero(t, r.code, r.stderr)
	require.Regexp(t, `^ID:       a
Period:   \S+Z to \S+Z \(24h00m\)
Known:    only from \S+Z on
Uptime:   \d+\.\d{3} %
Up:       \S+
Down:     \S+s in 2 incidents, 1 recovered
MTTR:     \S+s, the mean time to recovery
Unknown:  \S+

STATUS +FROM +FOR +BEATS +GAP +MESSAGE
`, r.stdout)
	require.Regexp(t, `(?m)^critical +\S+Z +\S+s +1 +- +is critical$`, r.stdout)
	require.Regexp(t, `(?m)^INCIDENT +LASTED +WORST +CAUSE$`, r.stdout)
	require.Regexp(t, `(?m)^\S+Z +\S+s +error +reported error: is error$`, r.stdout)
	require.Regexp(t, `(?m)^\S+Z +\S+s so far +critical +reported critical: is critical$`, r.stdout)

	require.InDelta(t, 24*time.Hour, past().To.Sub(past().From), float64(time.Second))
	require.NotEmpty(t, past("--period", "400d"), "as long as history is kept")
	week := past("--period", "7d")
	require.InDelta(t, 7*24*time.Hour, week.To.Sub(week.From), float64(time.Second))
	require.Equal(t, 2, week.IncidentCount)
	require.Len(t, past("--limit", "1").Spans, 1)
	require.True(t, past("--limit", "1").Truncated)
	long := past("--from", "2020-01-31", "--to", "2020-02-01T12:00:00+02:00")
	require.Equal(t, time.Date(2020, 1, 31, 0, 0, 0, 0, time.UTC), long.From)
	require.Equal(t, time.Date(2020, 2, 1, 10, 0, 0, 0, time.UTC), long.To)
	require.Equal(t, 34*time.Hour, long.Unknown)
	back := past("--period", "90", "--to", "2020-02-01")
	require.Equal(t, time.Date(2020, 1, 31, 23, 58, 30, 0, time.UTC), back.From)
	require.Contains(t, laneswap(url, "services", "history", "a", "--to", "2020-02-01").stdout, "\nKnown:    nothing of this period\nUptime:   -\n")
}

func TestHistory_refusesWhatIsNoPeriod(t *testing.T) {
	t.Parallel()
	url := startServer(t).URL()
	require.Zero(t, laneswap(url, "services", "heartbeat", "a", "--create").code)
	for want, args := range map[string][]string{
		`invalid argument "soon" for "--period" flag: .*`:    {"--period", "soon"},
		`invalid argument "xd" for "--period" flag: .*`:      {"--period", "xd"},
		`invalid argument "0d" for "--period" flag: .*`:      {"--period", "0d"},
		`invalid argument "-7d" for "--period" flag: .*`:     {"--period", "-7d"},
		`invalid argument "1e300d" for "--period" flag: .*`:  {"--period", "1e300d"},
		`invalid argument "NaNd" for "--period" flag: .*`:    {"--period", "NaNd"},
		`invalid argument "31.1.2026" for "--from" flag: .*`: {"--from", "31.1.2026"},
		`--period and --from exclude each other: .*`:         {"--period", "1h", "--from", "2026-01-01"},
		`history "a": limit .*`:                              {"--limit", "-1"},
		`history "a": from .*`:                               {"--from", "2026-02-01", "--to", "2026-01-01"},
	} {
		r := laneswap(url, append([]string{"services", "history", "a"}, args...)...)
		require.Equal(t, cli.CodeUsage, r.code, args)
		require.Regexp(t, `^laneswap: `+want+`\n$`, r.stderr)
		require.Empty(t, r.stdout)
	}
	require.Equal(t, cli.CodeNotFound, laneswap(url, "services", "history", "b").code)
}

func TestErrors_areReportedAndListed(t *testing.T) {
	t.Parallel()
	url := startServer(t).URL()
	require.Equal(t, cli.CodeNotFound, laneswap(url, "services", "report-error", "job", "--type", "T").code)
	require.Zero(t, laneswap(url, "services", "heartbeat", "job", "--create").code)
	require.Equal(t, result{stdout: "TIME  TYPE  MESSAGE\n"}, laneswap(url, "services", "errors", "job"))
	require.Equal(t, result{stdout: "[]\n"}, laneswap(url, "services", "errors", "job", "-o", "json"))

	file := filepath.Join(t.TempDir(), "job.err")
	require.NoError(t, os.WriteFile(file, []byte("main.go:1\n\tmain.main()\n"), 0o600))
	r := laneswap(url, "services", "report-error", "job", "--type", "ExitError", "--message", "disk\x1b[31m full", "--stack-file", file, "--metadata", "code=3")
	require.Zero(t, r.code, r.stderr)
	require.Regexp(t, `^job/\S+\n$`, r.stdout)
	var stdout, stderr buffer
	code := cli.Laneswap(cli.Process{
		Args:    []string{"services", "report-error", "job", "--message", "second", "--stack-file", "-", "-o", "json"},
		Environ: []string{"LANESWAP_SERVER=" + url}, Stdin: strings.NewReader("from a pipe"), Stdout: &stdout, Stderr: &stderr,
	})
	require.Zero(t, code, &stderr)
	var second core.ErrorRecord
	require.NoError(t, json.Unmarshal([]byte(stdout.String()), &second))
	require.Equal(t, "from a pipe", second.Stack)

	r = laneswap(url, "services", "errors", "job")
	require.Regexp(t, `^TIME +TYPE +MESSAGE\n\S+Z +- +second\n\S+Z +ExitError +disk\S* full\n$`, r.stdout)
	require.NotContains(t, r.stdout, "\x1b")
	var list []core.ErrorRecord
	require.NoError(t, json.Unmarshal([]byte(laneswap(url, "services", "errors", "job", "-o", "json").stdout), &list))
	require.Len(t, list, 2)
	require.Equal(t, second, list[0])
	require.Equal(t, "main.go:1\n\tmain.main()\n", list[1].Stack)
	require.Equal(t, map[string]any{"code": 3.0}, list[1].Metadata)
	require.Equal(t, 2, strings.Count(laneswap(url, "services", "errors", "job", "--limit", "1").stdout, "\n"))
}

func TestReportError_refusesWhatIsNone(t *testing.T) {
	t.Parallel()
	url := startServer(t).URL()
	require.Zero(t, laneswap(url, "services", "heartbeat", "job", "--create").code)
	long := filepath.Join(t.TempDir(), "long")
	require.NoError(t, os.WriteFile(long, []byte(strings.Repeat("x", 40<<10)), 0o600))
	for want, args := range map[string][]string{
		`report error "job": message is empty, and so is type; .*`: {},
		`--stack-file: open .*nothing.*`:                           {"--type", "T", "--stack-file", filepath.Join(t.TempDir(), "nothing")},
		`--stack-file: there is no standard input`:                 {"--type", "T", "--stack-file", "-"},
		`report error "job": stack is 40960 bytes long, .*`:        {"--type", "T", "--stack-file", long},
	} {
		r := laneswap(url, append([]string{"services", "report-error", "job"}, args...)...)
		require.Equal(t, cli.CodeUsage, r.code, args)
		require.Regexp(t, `^laneswap: `+want+`\n$`, r.stderr)
	}
}

// away makes every answer say that the storage has not taken it.
func away(t *testing.T) string {
	t.Helper()
	m := core.NewManager()
	api := httpapi.New(m)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		api.ServeHTTP(rec, r)
		w.Header().Set("Content-Type", "application/json")
		if rec.Code == http.StatusNoContent {
			_, _ = w.Write([]byte(`{"durable":false}`))
			return
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write([]byte(strings.TrimSuffix(strings.TrimSpace(rec.Body.String()), "}") + `,"durable":false}`))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestServices_sayWhenTheServerCouldNotStoreIt(t *testing.T) {
	t.Parallel()
	url := away(t)
	const note = "laneswap: the server has not stored it yet and keeps it in memory: its storage does not accept writes\n"
	require.Equal(t, result{stdout: "a\n", stderr: note}, laneswap(url, "services", "register", "--id", "a"))
	require.Equal(t, result{stderr: note}, laneswap(url, "services", "heartbeat", "a"))
	require.Equal(t, note, laneswap(url, "services", "report-error", "a", "--type", "T").stderr)
	require.Equal(t, result{stderr: note}, laneswap(url, "services", "delete", "a"), "it is removed all the same")
}
