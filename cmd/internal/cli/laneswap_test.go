package cli_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	core "github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
	"github.com/laneswap/laneswap/cmd/internal/cli"
)

// nowhere is the address of a server that is away.
func nowhere(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return "http://" + l.Addr().String()
}

func TestServices_goThroughALife(t *testing.T) {
	t.Parallel()
	url := startServer(t).URL()
	require.Equal(t, result{stdout: "STATUS  ID  NAME  SINCE  LAST BEAT  MESSAGE\n"}, laneswap(url, "services", "list"))

	r := laneswap(url, "services", "register", "--id", "billing", "--name", "Billing", "--interval", "30", "--stale-after", "2m",
		"--tag", "web", "--tag", "eu,west", "--metadata", "cpu=1.5", "--metadata", "zone=a=b", "--forget-after", "never")
	require.Equal(t, result{stdout: "billing\n"}, r)
	require.Equal(t, result{}, laneswap(url, "services", "heartbeat", "billing", "--status", "error", "--message", "no\tdisk", "--metadata", "cpu=null"))

	r = laneswap(url, "services", "list")
	require.Zero(t, r.code, r.stderr)
	require.Regexp(t, `(?m)^error   billing  Billing  \ds     \ds         no disk$`, r.stdout)

	r = laneswap(url, "services", "get", "billing", "-o", "json")
	require.Zero(t, r.code, r.stderr)
	var st core.ServiceStatus
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &st))
	require.Equal(t, core.StatusError, st.Status)
	require.Equal(t, 30*time.Second, st.Interval)
	require.Equal(t, 2*time.Minute, st.Window)
	require.Equal(t, []string{"web", "eu,west"}, st.Tags)
	require.Equal(t, map[string]any{"zone": "a=b"}, st.Metadata)

	r = laneswap(url, "services", "get", "billing")
	require.Contains(t, r.stdout, "Status:      error\n")
	require.Contains(t, r.stdout, "Message:\n  no disk\n")

	require.Equal(t, result{}, laneswap(url, "services", "delete", "billing"))
	r = laneswap(url, "services", "delete", "billing", "other")
	require.Equal(t, cli.CodeNotFound, r.code)
	require.Equal(t, "laneswap: remove \"billing\": service not found; remove \"other\": service not found\n", r.stderr)
}

func TestServices_listSelectsAndSorts(t *testing.T) {
	t.Parallel()
	url := startServer(t).URL()
	for _, id := range []string{"a", "b", "c"} {
		require.Zero(t, laneswap(url, "services", "register", "--id", id, "--tag", "all", "--tag", "t"+id).code)
	}
	require.Zero(t, laneswap(url, "services", "heartbeat", "b", "--status", "critical").code)
	require.Zero(t, laneswap(url, "services", "heartbeat", "c").code)
	ids := func(args ...string) []string {
		r := laneswap(url, append([]string{"services", "list"}, args...)...)
		require.Zero(t, r.code, r.stderr)
		var ids []string
		for _, line := range strings.Split(strings.TrimSpace(r.stdout), "\n")[1:] {
			ids = append(ids, strings.Fields(line)[1])
		}
		return ids
	}
	require.Equal(t, []string{"b", "a", "c"}, ids(), "the most urgent first")
	require.Equal(t, []string{"b"}, ids("--status", "critical"))
	require.Equal(t, []string{"c"}, ids("--tag", "tc"))
	require.Equal(t, []string{"a"}, ids("--name", "a"))
	require.Equal(t, []string{"b", "a"}, ids("--limit", "2"))

	r := laneswap(url, "services", "list", "-o", "json", "--tag", "none")
	require.Equal(t, result{stdout: "[]\n"}, r, "an empty list is a document too")
	var list []core.ServiceStatus
	require.NoError(t, json.Unmarshal([]byte(laneswap(url, "services", "ls", "-o", "json").stdout), &list))
	require.Len(t, list, 3)
}

func TestHeartbeat_registersWhenAsked(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	r := laneswap(s.URL(), "services", "heartbeat", "backup")
	require.Equal(t, cli.CodeNotFound, r.code)
	require.Equal(t, "laneswap: report \"backup\": service not found\n", r.stderr)
	r = laneswap(s.URL(), "services", "heartbeat", "backup", "--create", "--interval", "24h", "-o", "json")
	require.Zero(t, r.code, r.stderr)
	require.True(t, json.Valid([]byte(r.stdout)))
	st, err := s.Manager().Service(t.Context(), "backup")
	require.NoError(t, err)
	require.Equal(t, 24*time.Hour, st.Interval)
	require.Equal(t, core.StatusHealthy, st.Status)
}

func TestHeartbeat_refusedOneLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	r := laneswap(s.URL(), "services", "heartbeat", "backup", "--create", "--status", "fine")
	require.Equal(t, cli.CodeUsage, r.code)
	require.Regexp(t, "^laneswap: announce \"backup\": status .*\n$", r.stderr)
	r = laneswap(s.URL(), "services", "heartbeat", "backup", "--interval", "10s")
	require.Equal(t, cli.CodeUsage, r.code)
	require.Equal(t, "laneswap: --interval needs --create: a heartbeat does not change the registration\n", r.stderr)
	sum, err := s.Manager().Summary(t.Context())
	require.NoError(t, err)
	require.Zero(t, sum.Total)
}

func TestHeartbeat_finalOneIsTheLastThatIsExpected(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	require.Zero(t, laneswap(s.URL(), "services", "heartbeat", "job", "--create", "--interval", "10s", "--status", "error", "--final").code)
	st, err := s.Manager().Service(t.Context(), "job")
	require.NoError(t, err)
	require.Equal(t, core.StatusError, st.Status)
	require.Zero(t, st.Deadline)
	require.Zero(t, laneswap(s.URL(), "services", "heartbeat", "job").code)
	st, err = s.Manager().Service(t.Context(), "job")
	require.NoError(t, err)
	require.NotZero(t, st.Deadline)
}

func TestEvents_areListed(t *testing.T) {
	t.Parallel()
	url := startServer(t).URL()
	require.Zero(t, laneswap(url, "services", "heartbeat", "a", "--create").code)
	require.Zero(t, laneswap(url, "services", "heartbeat", "b", "--create", "--status", "error", "--message", "x").code)
	r := laneswap(url, "events")
	require.Zero(t, r.code, r.stderr)
	require.Regexp(t, `^SEQUENCE  TIME +KIND  SERVICE  FROM     TO       AFTER  MESSAGE
1         \S+Z  up    a        unknown  healthy  -      -
2         \S+Z  down  b        unknown  error    -      x
$`, r.stdout)
	var events []core.Event
	require.NoError(t, json.Unmarshal([]byte(laneswap(url, "events", "-o", "json", "--service", "b").stdout), &events))
	require.Len(t, events, 1)
	require.NoError(t, json.Unmarshal([]byte(laneswap(url, "events", "-o", "json", "--after", "1").stdout), &events))
	require.Len(t, events, 1)
	require.Equal(t, uint64(2), events[0].Sequence)
}

func TestEvents_followWritesOneObjectPerLine(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	beat := func(status core.Status) {
		require.NoError(t, s.Manager().Beat(t.Context(), "a", core.Heartbeat{Status: status, Message: "two\nlines"}))
	}
	_, err := s.Manager().Register(t.Context(), core.Registration{ID: "a"})
	require.NoError(t, err)
	beat(core.StatusHealthy)
	stdout := new(buffer)
	stop, done := make(chan os.Signal), make(chan int)
	go func() {
		done <- cli.Laneswap(cli.Process{
			Args:   []string{"events", "--follow", "--after", "0", "-o", "json", "--server", s.URL()},
			Stdout: stdout, Stderr: new(buffer), Stop: stop,
		})
	}()
	lines := func() int { return strings.Count(stdout.String(), "\n") }
	require.Eventually(t, func() bool { return lines() == 1 }, 10*time.Second, time.Millisecond)
	beat(core.StatusError)
	require.Eventually(t, func() bool { return lines() == 2 }, 10*time.Second, time.Millisecond)
	beat(core.StatusHealthy)
	require.Eventually(t, func() bool { return lines() == 3 }, 10*time.Second, time.Millisecond)
	var kinds []core.EventKind
	for line := range strings.Lines(stdout.String()) {
		var ev core.Event
		require.NoError(t, json.Unmarshal([]byte(line), &ev))
		kinds = append(kinds, ev.Kind)
	}
	require.Equal(t, []core.EventKind{core.EventUp, core.EventDown, core.EventRecovered}, kinds)
	stop <- os.Interrupt
	require.Equal(t, cli.CodeOK, <-done)
}

func TestLaneswap_exitCodesAndErrors(t *testing.T) {
	t.Parallel()
	url, away := startServer(t).URL(), nowhere(t)
	for _, tc := range []struct {
		name, url string
		args      []string
		code      int
		stderr    string // a regular expression
	}{
		{"unknown command", url, []string{"nothing"}, 2, `unknown command "nothing" for "laneswap" \(see laneswap --help\)`},
		{"unknown subcommand", url, []string{"services", "nothing"}, 2, `unknown command "nothing" for "laneswap services" \(see laneswap services --help\)`},
		{"unknown flag", url, []string{"events", "--nothing"}, 2, `unknown flag: --nothing \(see laneswap events --help\)`},
		{"bad flag", url, []string{"services", "register", "--interval", "soon"}, 2, `invalid argument "soon" for "--interval" flag: .*`},
		{"missing argument", url, []string{"services", "get"}, 2, `accepts 1 arg\(s\), received 0 .*`},
		{"unknown format", url, []string{"services", "list", "-o", "xml"}, 2, `--output is "xml", it must be table or json`},
		{"unknown format of version", url, []string{"version", "-o", "xml"}, 2, `--output is "xml", it must be table or json`},
		{"not a server", "ftp://user:secret@web", []string{"events"}, 2, `client: the server's address must be a URL .*`},
		{"refused input", url, []string{"services", "register", "--id", "../etc"}, 2, `register .*: service_id .*`},
		{"refused window", url, []string{"services", "register", "--id", "a", "--interval", "10", "--stale-after", "5"}, 2, `register "a": stale_after is 5s, it must be above the interval of 10s`},
		{"refused status", url, []string{"services", "list", "--status", "fine"}, 2, `services: status "fine" is not one of .*`},
		{"not found", url, []string{"services", "get", "nothing"}, 3, `service "nothing": service not found`},
		{"away", away, []string{"services", "list"}, 4, `services: server not reachable: .*connection refused`},
		{"following away", away, []string{"events", "-f"}, 4, `summary: server not reachable: .*connection refused`},
		{"settings", url, []string{"server", "--port", "x", "--log-format", "x"}, 2, `--.* \(LANESWAP_.*\) is "x", .*; --.* \(LANESWAP_.*`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := laneswap(tc.url, tc.args...)
			require.Equal(t, tc.code, r.code)
			require.Regexp(t, `^laneswap: `+tc.stderr+`\n$`, r.stderr)
			require.Empty(t, r.stdout)
			require.NotContains(t, r.stderr, "secret")
		})
	}
}

func TestLaneswap_helpsAndSaysItsVersion(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"--help"}, {"services"}, {"help", "exec"}, {"server", "--help"}, {"completion", "bash"}} {
		r := laneswap(nowhere(t), args...)
		require.Zero(t, r.code)
		require.NotEmpty(t, r.stdout)
		require.Empty(t, r.stderr)
	}
	require.Regexp(t, `^laneswap `+regexp.QuoteMeta(core.Version)+` .*\n$`, laneswap("", "version").stdout)
	require.Regexp(t, `^laneswap `+regexp.QuoteMeta(core.Version)+` .*\n$`, laneswap("", "--version").stdout)
	require.Contains(t, laneswap("", "version", "-o", "json").stdout, `"version": "`+core.Version+`"`)
	require.NotContains(t, laneswap("http://user:secret@web", "--help").stdout, "secret")
}

func TestCompletion_asksTheServerForIDs(t *testing.T) {
	t.Parallel()
	url := startServer(t).URL()
	require.Zero(t, laneswap(url, "services", "heartbeat", "billing", "--create").code)
	require.Zero(t, laneswap(url, "services", "register", "--id", "mail").code)
	require.Equal(t, "billing\thealthy\nmail\tunknown\n:4\n", laneswap(url, "__complete", "services", "get", "").stdout)
	require.Equal(t, "billing\thealthy\n:4\n", laneswap(url, "__complete", "services", "delete", "b").stdout)
	require.Equal(t, "mail\tunknown\n:4\n", laneswap(url, "__complete", "events", "--service", "m").stdout)
	require.Equal(t, ":4\n", laneswap(url, "__complete", "services", "get", "billing", "").stdout, "one id is all that get takes")
	require.Equal(t, "json\ntable\n:4\n", sorted(laneswap(url, "__complete", "events", "-o", "").stdout))

	require.Equal(t, ":4\n", laneswap(url, "__complete", "services", "get", "a/").stdout)

	begun := time.Now()
	require.Equal(t, ":4\n", laneswap(hanging(t), "__complete", "services", "get", "").stdout)
	require.Less(t, time.Since(begun), 5*time.Second)
}

func TestCompletion_asksForFiftyIDsBehindThePrefixAtMost(t *testing.T) {
	t.Parallel()
	m := core.NewManager()
	for i := range 1000 {
		_, err := m.Register(t.Context(), core.Registration{ID: core.ServiceID(fmt.Sprintf("job-%03d", i))})
		require.NoError(t, err)
	}
	for _, id := range []core.ServiceID{"job", "job-", "joc", "a.b", "a.b.c", "a-z", "Z"} {
		_, err := m.Register(t.Context(), core.Registration{ID: id})
		require.NoError(t, err)
	}
	var asked atomic.Int64
	api := httpapi.New(m)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if limit := r.URL.Query().Get("limit"); limit != "50" {
			t.Errorf("limit is %q", limit)
		}
		api.ServeHTTP(w, r)
	}))
	defer s.Close()
	complete := func(prefix string) []string {
		asked.Store(0)
		out := laneswap(s.URL, "__complete", "services", "get", prefix).stdout
		require.EqualValues(t, 1, asked.Load(), "one page")
		lines := strings.Split(strings.ReplaceAll(strings.TrimSuffix(out, ":4\n"), "\tunknown", ""), "\n")
		return lines[:len(lines)-1]
	}
	require.Equal(t, []string{"job-990", "job-991", "job-992", "job-993", "job-994", "job-995", "job-996", "job-997", "job-998", "job-999"}, complete("job-99"))
	require.Equal(t, []string{"job-500"}, complete("job-500"))
	require.Equal(t, []string{"a.b", "a.b.c"}, complete("a."))
	require.Equal(t, []string{"joc"}, complete("joc"))
	require.Equal(t, []string{"Z"}, complete("Z"))
	require.Empty(t, complete("k"))
	require.Len(t, complete(""), 50)
	jobs := complete("job")
	require.Len(t, jobs, 50)
	require.Equal(t, []string{"job", "job-", "job-000"}, jobs[:3])
}

// sorted orders the words of a completion; its last line stays last.
func sorted(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) == 3 && lines[0] > lines[1] {
		lines[0], lines[1] = lines[1], lines[0]
	}
	return strings.Join(lines, "\n") + "\n"
}

// hanging is the address of a server that takes connections and never answers.
func hanging(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel takes them
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return "http://" + l.Addr().String()
}
