package execwrap_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/execwrap"
)

func TestOutcome_messageHoldsTheEndOfTheOutput(t *testing.T) {
	t.Parallel()
	o := execwrap.Outcome{Code: 3, Tail: []byte("one\n\x1b[1;31mtwo\x1b[0m \x1b]0;title\x07three\n\n")}
	require.Equal(t, "exit status 3\none\ntwo three", o.Message(4096))
	require.Equal(t, "exit status 3\nhree", o.Message(18))
	require.Equal(t, "exit status 3", o.Message(14))
	require.Equal(t, "exit", o.Message(4))
	require.Equal(t, "exit status 3", execwrap.Outcome{Code: 3, Tail: []byte(" \n")}.Message(4096))
	require.Equal(t, "cannot run: nothing there", execwrap.Outcome{Code: 127, Err: errors.New("nothing there")}.Message(4096))
}

func TestOutcome_messageIsCutBetweenRunes(t *testing.T) {
	t.Parallel()
	o := execwrap.Outcome{Code: 1, Tail: []byte(strings.Repeat("世界", 1000) + "\xff\xfe end")}
	for limit := 20; limit < 60; limit++ {
		msg := o.Message(limit)
		require.True(t, utf8.ValidString(msg))
		require.LessOrEqual(t, len(msg), limit)
		require.Greater(t, len(msg), limit-3)
	}
	require.True(t, strings.HasSuffix(o.Message(4096), "世界? end"))
}

func FuzzOutcome_message(f *testing.F) {
	f.Add([]byte("a\x1b[31mb"), 20)
	f.Add([]byte("\x1b]0;never ended"), 4096)
	f.Add([]byte("世\x80界"), 17)
	f.Fuzz(func(t *testing.T, tail []byte, limit int) {
		if limit < 0 || limit > 1<<16 {
			return
		}
		msg := execwrap.Outcome{Code: 3, Tail: tail}.Message(limit)
		require.LessOrEqual(t, len(msg), limit)
		require.True(t, utf8.ValidString(msg))
	})
}
