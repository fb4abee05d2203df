package notifiertest_test

import (
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/notifiertest"
)

// flawOfChild names the flaw that this test binary is to run the suite with,
// when the suite's own test has started it.
const flawOfChild = "NOTIFIERTEST_FLAW"

func patience(flaw string) time.Duration {
	if flaws[flaw] != "" {
		return time.Second // some hang
	}
	return time.Minute
}

func sending(flaw string) notifiertest.Target {
	return notifiertest.Target{
		HTTP: func(_ *testing.T, s *notifiertest.Stand) laneswap.Notifier {
			return newSender(s.URL+"/hook/"+s.Secret("path")+"?token="+s.Secret("query"), s.Secret("key"), s.Logger(), flaw)
		},
		Receipt:  "4711",
		Patience: patience(flaw),
	}
}

func writing(flaw string) notifiertest.Target {
	make := func(s *notifiertest.Stand) *writer {
		return &writer{secret: s.Secret("pen"), log: s.Logger(), flaw: flaw}
	}
	return notifiertest.Target{
		Local: func(_ *testing.T, s *notifiertest.Stand) (laneswap.Notifier, func() string) {
			w := make(s)
			return w, w.delivered
		},
		Failing:  func(_ *testing.T, s *notifiertest.Stand) laneswap.Notifier { return make(s).failing() },
		Hanging:  func(_ *testing.T, s *notifiertest.Stand) laneswap.Notifier { return make(s).hanging() },
		Patience: patience(flaw),
	}
}

func TestRun_passesASenderThatKeepsTheContract(t *testing.T) {
	t.Parallel()
	notifiertest.Run(t, sending(os.Getenv(flawOfChild)))
}

func TestRun_passesAWriterThatKeepsTheContract(t *testing.T) {
	t.Parallel()
	notifiertest.Run(t, writing(os.Getenv(flawOfChild)))
}

// A notifier may ask to be left alone after each few messages, and do otherwise
// than the table where it says so.
func TestRun_passesWhatIsLimitedAndDocumented(t *testing.T) {
	t.Parallel()
	target := sending("takes a 404 for trouble that passes")
	target.Burst, target.Patience = 5, time.Minute
	target.Except = map[string]notifiertest.Expect{"404": {Verdicts: []notifiertest.Verdict{notifiertest.Retried}}}
	notifiertest.Run(t, target)
}

// TestRun_findsEachFlaw runs the suite in processes of its own, for a test that
// is to fail cannot be run in the one that is to pass.
func TestRun_findsEachFlaw(t *testing.T) {
	t.Parallel()
	if os.Getenv(flawOfChild) != "" {
		t.Skip("this is a child")
	}
	binary, err := os.Executable()
	require.NoError(t, err)
	for flaw, test := range flaws {
		t.Run(strings.ReplaceAll(flaw, " ", "_"), func(t *testing.T) {
			t.Parallel()
			parent := "TestRun_passesASenderThatKeepsTheContract"
			if strings.HasPrefix(flaw, "local: ") {
				parent = "TestRun_passesAWriterThatKeepsTheContract"
			}
			pattern := "^" + parent + "$"
			name, says, _ := strings.Cut(test, ": ")
			for part := range strings.SplitSeq(cmp.Or(name, "Answers_are"), "/") {
				pattern += "/^" + part + "$"
			}
			cmd := exec.CommandContext(t.Context(), binary, "-test.run", pattern)
			cmd.Env = append(os.Environ(), flawOfChild+"="+flaw)
			out, err := cmd.CombinedOutput()
			if test == "" {
				require.NoError(t, err, "the suite refuses a notifier that %s:\n%s", flaw, out)
				return
			}
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit, "the suite passes a notifier that %s:\n%s", flaw, out)
			require.Contains(t, string(out), "--- FAIL: "+parent+"/"+name)
			require.Contains(t, string(out), says)
		})
	}
}

func TestNotifications_areOfEveryKindAndEqualEachTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)
	first, second := notifiertest.Notifications(now), notifiertest.Notifications(now)
	require.Equal(t, first, second)
	first[0].Items[0].Event.Tags[0] = "changed"
	first[9].Items[0].Text = "changed"
	require.Equal(t, second, notifiertest.Notifications(now), "they share nothing")

	kinds, ids := map[laneswap.NoticeKind]bool{}, map[string]bool{}
	for _, n := range second {
		kinds[n.Kind] = true
		require.False(t, ids[n.ID], n.ID)
		ids[n.ID] = true
		require.NotEmpty(t, n.Items)
		require.True(t, reflect.DeepEqual(n.Event, n.Items[0].Event), "%s: the event is that of the first item", n.ID)
		require.NotEmpty(t, n.Title)
		require.NotContains(t, n.Title, "\n")
		require.True(t, strings.HasPrefix(n.Text, n.Items[0].Text) || len(n.Items) > 1 && strings.HasPrefix(n.Text, n.Title+"\n"+n.Items[0].Text), n.Text)
		data, err := json.Marshal(n)
		require.NoError(t, err)
		require.True(t, utf8.Valid(data))
	}
	require.Len(t, kinds, 6)
}
