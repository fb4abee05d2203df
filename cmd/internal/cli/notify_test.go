package cli_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	core "github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
	"github.com/laneswap/laneswap/cmd/internal/cli"
)

// alerting is a server whose notifiers and explanations are set by a test.
type alerting struct {
	*core.Manager
	notifiers []core.NotifierStatus
	tests     map[string]core.NotifierTest
	explained map[string]core.Explanation

	mu     sync.Mutex // guards tested
	tested []string
}

func (f *alerting) serve(t *testing.T) string {
	t.Helper()
	f.Manager = core.NewManager()
	mux := http.NewServeMux()
	mux.Handle("/", httpapi.New(f.Manager))
	mux.HandleFunc("GET /api/notifiers", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"notifiers": f.notifiers}, nil)
	})
	mux.HandleFunc("POST /api/notifiers/{name}/test", func(w http.ResponseWriter, r *http.Request) {
		test, err := f.test(r.PathValue("name"))
		answer(w, test, err)
	})
	mux.HandleFunc("GET /api/events/{id}/explain", func(w http.ResponseWriter, r *http.Request) {
		explained, ok := f.explained[r.PathValue("id")]
		if !ok {
			answer(w, nil, fmt.Errorf("explain %q: %w", r.PathValue("id"), core.ErrEventNotFound))
			return
		}
		answer(w, explained, nil)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// answer answers as the API does.
func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		v = map[string]string{"code": core.ErrorCode(err), "detail": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(v)
}

func (f *alerting) test(name string) (core.NotifierTest, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tested = append(f.tested, name)
	test, ok := f.tests[name]
	switch {
	case !ok:
		return test, fmt.Errorf("test notifier %q: %w", name, core.ErrNotifierNotFound)
	case test.Notifier == "":
		return test, fmt.Errorf("test notifier %q: %w", name, core.ErrStopped)
	}
	return test, nil
}

func twoNotifiers() *alerting {
	now := time.Now()
	return &alerting{
		notifiers: []core.NotifierStatus{
			{Name: "discord", State: core.NotifierOK, Sent: 7, LastSent: now.Add(-90 * time.Minute)},
			{
				Name: "web\x1bhook", State: core.NotifierRetrying, Waiting: 2, Oldest: now.Add(-200 * time.Second), Dead: 1,
				LastError: "503\nService Unavailable", LastErrorAt: now.Add(-150 * time.Second), RetryAt: now.Add(time.Hour + time.Minute),
			},
		},
		tests: map[string]core.NotifierTest{
			"discord":     {Notifier: "discord", Delivered: true, MessageID: "1312"},
			"web\x1bhook": {Notifier: "web\x1bhook", Error: "503\nService Unavailable"},
			"quiet":       {Notifier: "quiet", Delivered: true},
			"stopped":     {},
		},
	}
}

func TestNotifyList_showsWhatIsOwed(t *testing.T) {
	t.Parallel()
	f := twoNotifiers()
	url := f.serve(t)
	r := laneswap(url, "notify", "list")
	require.Zero(t, r.code, r.stderr)
	require.Regexp(t, `^NOTIFIER +STATE +WAITING +OLDEST +SENT +GIVEN UP +LAST SENT +RETRY IN +LAST ERROR
discord +ok +0 +- +7 +0 +1h30m +- +-
webhook +retrying +2 +3m2\ds +0 +1 +- +1h0\dm +2m3\ds ago: 503 Service Unavailable
$`, r.stdout)
	var list []core.NotifierStatus
	require.NoError(t, json.Unmarshal([]byte(laneswap(url, "notify", "list", "-o", "json").stdout), &list))
	require.Len(t, list, 2)
	require.Equal(t, f.notifiers[1].LastError, list[1].LastError)
	none := new(alerting).serve(t)
	require.Equal(t, "[]\n", laneswap(none, "notify", "list", "-o", "json").stdout)
	require.Regexp(t, `^NOTIFIER .*\n$`, laneswap(none, "notify", "ls").stdout)
}

func TestNotifyTest_saysWhatCameBack(t *testing.T) {
	t.Parallel()
	f := twoNotifiers()
	url := f.serve(t)
	const delivered, refused = "discord: delivered as message 1312\n", "webhook: not delivered: 503 Service Unavailable\n"
	require.Equal(t, result{code: cli.CodeFailure, stdout: delivered + refused}, laneswap(url, "notify", "test"))
	require.Equal(t, []string{"discord", "web\x1bhook"}, f.tested, "all of them, in their order")
	require.Equal(t, result{stdout: delivered}, laneswap(url, "notify", "test", "discord"))
	require.Equal(t, result{code: cli.CodeFailure, stdout: refused}, laneswap(url, "notify", "test", "web\x1bhook"))
	require.Equal(t, result{stdout: "quiet: delivered\n" + delivered}, laneswap(url, "notify", "test", "quiet", "discord"))

	r := laneswap(url, "notify", "test", "-o", "json")
	require.Equal(t, cli.CodeFailure, r.code)
	require.Empty(t, r.stderr)
	var tests []core.NotifierTest
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &tests))
	require.Equal(t, []core.NotifierTest{f.tests["discord"], f.tests["web\x1bhook"]}, tests)
}

func TestNotifyTest_saysWhatCouldNotBeTested(t *testing.T) {
	t.Parallel()
	url := twoNotifiers().serve(t)
	require.Equal(t, result{code: cli.CodeNotFound, stderr: "laneswap: there is no notifier \"slack\"\n"}, laneswap(url, "notify", "test", "slack"))
	require.Equal(t, result{code: cli.CodeNotFound, stdout: "discord: delivered as message 1312\n", stderr: "laneswap: there is no notifier \"slack\"\n"},
		laneswap(url, "notify", "test", "slack", "discord"), "the others are tested all the same")
	require.Equal(t, result{code: cli.CodeFailure, stderr: "laneswap: test notifier \"stopped\": manager stopped\n"}, laneswap(url, "notify", "test", "stopped", "discord"))
	require.Equal(t, result{code: cli.CodeFailure, stderr: "laneswap: the server has no notifiers\n"}, laneswap(new(alerting).serve(t), "notify", "test"))
	require.Equal(t, cli.CodeUnreachable, laneswap(nowhere(t), "notify", "test", "discord").code)
	require.Equal(t, cli.CodeUnreachable, laneswap(nowhere(t), "notify", "list").code)
	require.Equal(t, cli.CodeUsage, laneswap(url, "notify", "list", "discord").code)
	require.Contains(t, laneswap(url, "notify").stdout, "laneswap notify test discord")
}

func TestNotifyTest_completesTheNamesOfNotifiers(t *testing.T) {
	t.Parallel()
	url := twoNotifiers().serve(t)
	require.Contains(t, laneswap(url, "__complete", "notify", "test", "").stdout, "discord\tok\n")
	require.Equal(t, "discord\tok\n:4\n", laneswap(url, "__complete", "notify", "test", "quiet", "d").stdout)
	require.Equal(t, ":4\n", laneswap(nowhere(t), "__complete", "notify", "test", "").stdout)
}

// fallen is a server on which the service billing went down and recovered n times.
func fallen(t *testing.T, n int) (f *alerting, url string, ids []string) {
	t.Helper()
	f = &alerting{explained: map[string]core.Explanation{}}
	url = f.serve(t)
	_, err := f.Register(t.Context(), core.Registration{ID: "billing", Name: "Billing", NoDeadline: true})
	require.NoError(t, err)
	for range n {
		require.NoError(t, f.Beat(t.Context(), "billing", core.Heartbeat{Status: core.StatusError, Message: "disk\tfull"}))
		require.NoError(t, f.Beat(t.Context(), "billing", core.Heartbeat{}))
	}
	at := time.Date(2026, 11, 21, 20, 0, 0, 123e6, time.UTC)
	for ev, err := range f.Events(t.Context(), core.EventQuery{}) {
		require.NoError(t, err)
		ids = append(ids, ev.ID)
		ev.At = at
		f.explained[ev.ID] = core.Explanation{Event: ev, Notices: []core.NoticeTrace{
			{Notifier: "discord", State: core.NoticeSent, MessageID: "1312", Attempts: 3, Steps: []core.TraceStep{
				{At: at, Text: "waits 5s for others"}, {At: at.Add(5 * time.Second), Text: "sent as message\x1b[31m 1312"},
			}},
			{Notifier: "slog", State: core.NoticeSkipped},
		}}
	}
	return f, url, ids
}

func TestExplain_showsWhatBecameOfAnEvent(t *testing.T) {
	t.Parallel()
	_, url, ids := fallen(t, 1)
	require.Equal(t, result{stdout: `Event:    ` + ids[0] + `
Time:     2026-11-21T20:00:00.123Z
Service:  billing (Billing)
What:     down, unknown -> error
Message:  disk full
Cause:    reported error: disk full
discord: sent as message 1312, 3 attempts
  2026-11-21T20:00:00.123Z  waits 5s for others
  2026-11-21T20:00:05.123Z  sent as message[31m 1312
slog: skipped
`}, laneswap(url, "explain", ids[0]))
	var explained core.Explanation
	r := laneswap(url, "explain", ids[1], "-o", "json")
	require.Zero(t, r.code, r.stderr)
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &explained))
	require.Equal(t, ids[1], explained.Event.ID)
	require.Len(t, explained.Notices, 2)
}

func TestExplain_ofAServiceShowsItsLatestEvents(t *testing.T) {
	t.Parallel()
	f, url, ids := fallen(t, 7)
	shown := func(args ...string) (got []string) {
		r := laneswap(url, append([]string{"explain", "billing", "-o", "json"}, args...)...)
		require.Zero(t, r.code, r.stderr)
		var list []core.Explanation
		require.NoError(t, json.Unmarshal([]byte(r.stdout), &list))
		for _, explained := range list {
			got = append(got, explained.Event.ID)
		}
		return got
	}
	require.Equal(t, ids[9:], shown(), "the newest last")
	require.Equal(t, ids[13:], shown("--limit", "1"))
	require.Equal(t, ids[4:], shown("--limit", "10"))
	r := laneswap(url, "explain", "billing", "--limit", "2")
	require.Regexp(t, `(?s)^Event: +`+ids[12]+`\n.*\n\nEvent: +`+ids[13]+`\n.*slog: skipped\n$`, r.stdout)
	delete(f.explained, ids[13])
	require.Equal(t, ids[9:13], shown(), "one that is forgotten meanwhile is left out")

	require.Zero(t, laneswap(url, "services", "register", "--id", "new").code)
	require.Equal(t, result{stdout: "there are no events yet\n"}, laneswap(url, "explain", "new"))
	require.Equal(t, result{stdout: "[]\n"}, laneswap(url, "explain", "new", "-o", "json"))
}

func TestExplain_saysWhatIsNotThere(t *testing.T) {
	t.Parallel()
	f, url, _ := fallen(t, 1)
	f.explained["odd one"] = core.Explanation{Event: core.Event{ID: "odd one"}}
	require.Contains(t, laneswap(url, "explain", "odd one").stdout, "Notices:  none, no notifier gets this event\n", "what is the id of no service may be one")
	for _, id := range []string{"nobody", "billing/x-1/1", "../x", "a b"} {
		require.Equal(t, result{code: cli.CodeNotFound, stderr: fmt.Sprintf("laneswap: there is no service and no stored event with the id %q\n", id)},
			laneswap(url, "explain", id))
	}
	require.Equal(t, result{code: cli.CodeUsage, stderr: "laneswap: --limit is 11, it must be from 1 to 10\n"}, laneswap(url, "explain", "billing", "--limit", "11"))
	require.Equal(t, cli.CodeUsage, laneswap(url, "explain").code)
	require.Equal(t, cli.CodeUnreachable, laneswap(nowhere(t), "explain", "billing").code)
	require.Equal(t, "billing\thealthy\n:4\n", laneswap(url, "__complete", "explain", "b").stdout)
}

func TestThresholds_areRegistered(t *testing.T) {
	t.Parallel()
	url := startServer(t).URL()
	registered := func(id string) core.ServiceStatus {
		var st core.ServiceStatus
		require.NoError(t, json.Unmarshal([]byte(laneswap(url, "services", "get", id, "-o", "json").stdout), &st))
		return st
	}
	require.Zero(t, laneswap(url, "services", "register", "--id", "a", "--alert-after", "3", "--recover-after", "90s").code)
	st := registered("a")
	require.Equal(t, []core.Threshold{{Beats: 3}, {For: 90 * time.Second}}, []core.Threshold{st.AlertAfter, st.RecoverAfter})
	require.Contains(t, laneswap(url, "services", "get", "a").stdout, "\nAlert after:    3 heartbeats\nRecover after:  1m30s\n")
	require.Zero(t, laneswap(url, "services", "heartbeat", "b", "--create", "--alert-after", "1h", "--recover-after", "1").code)
	st = registered("b")
	require.Equal(t, []core.Threshold{{For: time.Hour}, {Beats: 1}}, []core.Threshold{st.AlertAfter, st.RecoverAfter})

	for want, args := range map[string][]string{
		`invalid argument "1d" for "--alert-after" flag: it is "1d", neither .*`:                 {"services", "register", "--id", "c", "--alert-after", "1d"},
		`invalid argument "0" for "--recover-after" flag: it is out of its range, 1 to 1000 .*`:  {"services", "register", "--id", "c", "--recover-after", "0"},
		`invalid argument "" for "--alert-after" flag: it must be a number of .*`:                {"services", "register", "--id", "c", "--alert-after", ""},
		`--recover-after needs --create: a heartbeat does not change the registration`:           {"services", "heartbeat", "b", "--recover-after", "2"},
		`invalid argument "25h" for "--alert-after" flag: it is 25h0m0s, it must be from 10ms.*`: {"exec", "--alert-after", "25h", "--", "true"},
	} {
		r := laneswap(url, args...)
		require.Equal(t, cli.CodeUsage, r.code, args)
		require.Regexp(t, `^laneswap: `+want+`\n$`, r.stderr)
	}
}

func TestNotify_worksWithARealServer(t *testing.T) {
	t.Parallel()
	url := startServer(t).URL() // which has its log as a notifier
	require.Zero(t, laneswap(url, "services", "heartbeat", "job", "--create", "--status", "error", "--message", "disk full").code)
	require.Equal(t, result{stdout: "slog: delivered\n"}, laneswap(url, "notify", "test"))
	told := regexp.MustCompile(`(?m)^slog +ok +0 +- +2 +0 +\d+s +- +-$`)
	require.Eventually(t, func() bool { return told.MatchString(laneswap(url, "notify", "list").stdout) }, 10*time.Second, 10*time.Millisecond)
	r := laneswap(url, "explain", "job")
	require.Zero(t, r.code, r.stderr)
	require.Regexp(t, `(?s)^Event: +job/\S+\n.*\nWhat: +down, unknown -> error\n.*\nslog: sent, 1 attempt\n  \S+Z  \S.*\n$`, r.stdout)
}
