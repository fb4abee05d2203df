package command_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/command"
	"github.com/laneswap/laneswap/adapters/notifiertest"
)

func TestOutput_isTheSameInWhateverPieces(t *testing.T) {
	t.Parallel()
	text := []byte("\n\n  first line \nsecond \x1b[1mline\n" + strings.Repeat("more and more\n", 1000) + "the end\n")
	for size := 1; size < 3000; size = size*3 + 1 {
		var pieces [][]byte
		for rest := text; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			pieces = append(pieces, rest[:min(size, len(rest))])
		}
		require.Equal(t, "first line", command.FirstLine(pieces...), size)
		require.Equal(t, command.Said(nil, nil, text), command.Said(nil, nil, pieces...), size)
	}
	require.True(t, strings.HasSuffix(command.Said(nil, nil, text), "more and more / the end"))
}

// Secrets that were read from files end in a line break, and keys have several lines.
func TestNotify_hidesSecretsLineByLine(t *testing.T) {
	t.Parallel()
	for env, said := range map[string]string{
		"TOKEN=s3cr3t-t0k3n-0123456789\n":     "s3cr3t-t0k3n-0123456789\n",
		"TOKEN= s3cr3t-t0k3n-0123456789 ":     "s3cr3t-t0k3n-0123456789\n",
		"KEY=s3cr3t-t0k3n\r\n0123456789-s3cr": "s3cr3t-t0k3n\n0123456789-s3cr\n",
	} {
		with := command.WithEnv(bare(env)...)
		note := notifiertest.Notifications(now)[0]
		err := made(t, says(t, 1, "", "no: "+said), with).Notify(t.Context(), note)
		require.ErrorContains(t, err, "no: ***")
		require.NotContains(t, err.Error(), "s3cr")
		receipt, err := laneswap.Send(t.Context(), made(t, says(t, 0, said, ""), with), note)
		require.NoError(t, err)
		require.Equal(t, "***", receipt)
	}
}

// What is hidden stays hidden wherever the text is cut.
func TestOutput_hidesSecretsAtEveryCut(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t-t0k3n-0123456789"
	for pad := 3700; pad < 4300; pad++ { // around the end of what is kept
		said := command.Said([]string{"--token=" + secret}, nil, []byte(secret+" "+secret+"\n"+strings.Repeat("x", pad)+" "+secret+" "+strings.Repeat("y ", 145)))
		for i := 0; i+8 <= len(secret); i++ {
			require.NotContains(t, said, secret[i:i+8], pad)
		}
	}
}

func FuzzOutput_isCleanAndShort(f *testing.F) {
	f.Add([]byte("m-1\n"), []byte("curl: (6) could not resolve host\n"), "https://user:password@host.example.org/hook/0123456789?token=abcdefghij")
	f.Add([]byte("\x1b]0;never ended"), []byte("\xff\x1b[31m\r\n\u202e"), "key=\xff\x00")
	f.Fuzz(func(t *testing.T, a, b []byte, arg string) {
		first, said := command.FirstLine(a, b), command.Said([]string{arg}, []string{"A=" + arg}, a, b)
		for _, text := range []string{first, said} {
			require.True(t, utf8.ValidString(text))
			require.False(t, strings.ContainsFunc(text, unicode.IsControl))
			require.Equal(t, laneswap.Sanitize(text), text)
		}
		require.LessOrEqual(t, len(first), 1<<10)
		require.LessOrEqual(t, len(said), len("failed: ")+300)
	})
}

func FuzzEnviron_isCleanAndShort(f *testing.F) {
	f.Add("billing is stale", "one\ntwo")
	f.Add("\x00=\xff", strings.Repeat("\U0001F525", 3000))
	f.Fuzz(func(t *testing.T, text, long string) {
		note := notifiertest.Notifications(now)[0]
		note.ID, note.Title, note.Text, note.Kind = text, text, long, laneswap.NoticeKind(text)
		note.Event.Name, note.Event.Message, note.Event.Service = long, long, laneswap.ServiceID(text)
		env := command.Environ(note)
		require.Len(t, env, 15)
		for _, entry := range env {
			require.True(t, utf8.ValidString(entry))
			require.NotContains(t, entry, "\x00")
			require.True(t, strings.HasPrefix(entry, "LANESWAP_"))
			name, value, _ := strings.Cut(entry, "=")
			if name == "LANESWAP_TEXT" {
				require.LessOrEqual(t, len(value), 8<<10)
				value = strings.ReplaceAll(value, "\n", "")
			} else {
				require.LessOrEqual(t, len(value), 1<<10)
			}
			require.Equal(t, laneswap.Sanitize(value), value)
		}
	})
}
