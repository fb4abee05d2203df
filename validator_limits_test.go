package laneswap_test

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

func TestSanitize_table(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain":                      "plain",
		"größe 数 🙂":                  "größe 数 🙂",
		"a\x1b]0;title\x07b":         "a]0;titleb",
		"csi\u009b31m":               "csi31m",
		"rtl\u202etxt\u2066x\u2069":  "rtltxtx",
		"line\nand\ttab\r":           "line and tab",
		"bad\xff\xfeutf":             "badutf",
		"para\u2028\u2029":           "para",
		"del\x7f":                    "del",
		"z\u200b\u200d\ufeff\u2060w": "zw",
		"tag\U000e0041":              "tag",
		"":                           "",
	} {
		require.Equal(t, want, laneswap.Sanitize(in), "%q", in)
	}
}

func FuzzSanitize(f *testing.F) {
	for _, seed := range []string{"", "a", "\x1b[2J", "\u202e", "\xff", "ä\n", "\u009d0;x\u009c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := laneswap.Sanitize(s)
		if !utf8.ValidString(out) {
			t.Fatalf("invalid UTF-8 from %q", s)
		}
		for _, r := range out {
			if r < ' ' || 0x7f <= r && r <= 0x9f || 0x202a <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069 {
				t.Fatalf("%q left in %q from %q", r, out, s)
			}
		}
		if again := laneswap.Sanitize(out); again != out {
			t.Fatalf("not stable: %q then %q", out, again)
		}
	})
}

func FuzzServiceID(f *testing.F) {
	for _, seed := range []string{"a", "billing@web-1", "..", "a/b", "\x00", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if err := laneswap.ValidateServiceID(laneswap.ServiceID(s)); err != nil {
			return
		}
		m := laneswap.NewManager()
		st, err := m.Register(t.Context(), laneswap.Registration{ID: laneswap.ServiceID(s)})
		if err != nil || string(st.ID) != s || st.Name != s {
			t.Fatalf("%q is valid, but registered as %+v, %v", s, st, err)
		}
	})
}

func TestStatus_orderGoodAndBad(t *testing.T) {
	t.Parallel()
	all := laneswap.Statuses()
	require.Len(t, all, 10)
	for i, s := range all {
		require.True(t, s.Valid())
		require.False(t, s.Good() && s.Bad())
		if i > 0 {
			require.Negative(t, all[i-1].Compare(s))
		}
		parsed, err := laneswap.ParseStatus(string(s))
		require.NoError(t, err)
		require.Equal(t, s, parsed)
	}
	all[0] = "changed"
	require.Equal(t, laneswap.StatusCritical, laneswap.Statuses()[0])
	require.False(t, laneswap.StatusUnknown.Good() || laneswap.StatusUnknown.Bad())
	require.False(t, laneswap.Status("").Valid())
	_, err := laneswap.ParseStatus("fine")
	require.ErrorIs(t, err, laneswap.ErrInvalidHeartbeat)
}

func TestTaskStatus_finalOnes(t *testing.T) {
	t.Parallel()
	for s, final := range map[laneswap.TaskStatus]bool{
		laneswap.TaskPending: false, laneswap.TaskRunning: false, laneswap.TaskPaused: false,
		laneswap.TaskCompleted: true, laneswap.TaskFailed: true, laneswap.TaskCanceled: true, laneswap.TaskTimeout: true,
	} {
		require.True(t, s.Valid())
		require.Equal(t, final, s.Final())
	}
	require.False(t, laneswap.TaskStatus("done").Valid())
}
