package text_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/text"
)

func TestCut_neverSplitsARune(t *testing.T) {
	t.Parallel()
	const s = "aé😀" // 1, 2 and 4 bytes
	for n, want := range []string{"", "a", "a", "aé", "aé", "aé", "aé", s, s} {
		require.Equal(t, want, text.Cut(s, n), n)
	}
	for n, want := range []string{"", "", "", "", "😀", "😀", "é😀", s, s} {
		require.Equal(t, want, text.CutStart(s, n), n)
	}
	for n, want := range []string{"", "a", "aé", s, s} {
		require.Equal(t, want, text.CutRunes(s, n), n)
	}
}

func TestClip_isOneCleanLine(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a b", text.Clip("a\nb", 3))
	require.Equal(t, "[31ma...", text.Clip("\x1b[31maé", 7))
	require.Equal(t, "a", text.Line("a\xff\u200d"))
	require.Equal(t, "a\n\u200db", text.Lines("a\n\u200db\x00"))
}
