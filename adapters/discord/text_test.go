package discord_test

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/adapters/discord"
)

func TestParagraph_showsTextAsItIs(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"disk full on /dev/sda1 (99.8 %)":   "disk full on /dev/sda1 (99.8 %)",
		"a_b *c* ~~d~~ ||e|| `f` \\g":       "a\\_b \\*c\\* \\~\\~d\\~\\~ \\|\\|e\\|\\| \\`f\\` \\\\g",
		"[click](https://example.org)":      `\[click\](https\://example.org)`,
		"see http://example.org/x":          `see http\://example.org/x`,
		"# a\n  ## b\nc # d":                "\\# a\n  \\## b\nc # d",
		"> a\na > b":                        "\\> a\na > b",
		"- a\n-# b\n+ c\na - b":             "\\- a\n\\-# b\n\\+ c\na - b",
		"1. a\n 22) b\n3.5 s\nat 3. x":      "1\\. a\n 22\\) b\n3\\.5 s\nat 3. x",
		"at 10:20:30":                       "at 10:20:30",
		":fire: a:b :+1: ::":                `\:fire: a:b \:+1: ::`,
		"@everyone @HERE me@example.org":    "@\u200beveryone @\u200bHERE me@example.org",
		"<@1> <@&2> <#3> </x:4> <id:home>":  "\\<\u200b@1> \\<\u200b@&2> \\<\u200b#3> \\<\u200b/x:4> \\<\u200bid:home>",
		"<t:1:R> a < b":                     `\<t:1:R> a \< b`,
		"a\tb\r\nc\x1b[31m\x00":             "a b\nc\\[31m",
		"\xff\xfeok\xc3":                    "ok",
		"\u202eabc\u2066":                   "abc",
		"👨‍🚒 \u200b":                        "👨‍🚒",
		"@\u200beveryone":                   "@\u200beveryone", // without the invisible it is a mention, so it gets one of ours
		" \n ":                              "",
		"\u2800\u3164\u200d\u0301":          "",
		"*":                                 `\*`,
		"Straße 東京 привет":                  "Straße 東京 привет",
		"ends with a colon: and a dash -":   "ends with a colon: and a dash -",
		"mixed \\*escaped\\* and \\\\n":     `mixed \\\*escaped\\\* and \\\\n`,
		"Message: could not open \"x.csv\"": "Message: could not open \"x.csv\"",
	} {
		require.Equal(t, want, discord.Paragraph(in, 1000), "%q", in)
	}
	require.Equal(t, "a_b [c](d) @\u200beveryone e", discord.Words("a_b [c](d) @everyone\ne", 1000), "a footer knows no markdown")
}

func TestParagraph_isCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	require.Equal(t, "abcde", discord.Paragraph("abcde", 5))
	require.Equal(t, "abcd…", discord.Paragraph("abcdef", 5))
	require.Equal(t, "😀😀…", discord.Paragraph("😀😀😀", 5))
	require.Equal(t, "😀…", discord.Paragraph("😀😀😀", 4))
	require.Equal(t, `abc…`, discord.Paragraph("abc_d", 5), "no backslash is left over")
	require.Equal(t, `\_\_…`, discord.Paragraph("___", 5))
	require.Empty(t, discord.Paragraph("😀", 1))
	require.Empty(t, discord.Paragraph("a", 0))
	require.Empty(t, discord.Paragraph("a", -1))
	require.Equal(t, "👨…", discord.Paragraph("👨‍👩‍👧", 4), "no joiner is left over")
	require.Equal(t, "ab…", discord.Paragraph("ab      cd", 5))
	for _, text := range hostile {
		for _, limit := range []int{0, 1, 2, 3, 7, 100, 255, 256, 1024} {
			for _, got := range []string{discord.Paragraph(text, limit), discord.Words(text, limit)} {
				require.LessOrEqual(t, discord.Width(got), limit)
				require.True(t, utf8.ValidString(got))
				require.True(t, got == "" || discord.Visible(got), "%q", got)
			}
		}
	}
}

func TestSpan_saysTheTwoGreatestUnits(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", -time.Hour: "0s", 1500 * time.Microsecond: "2ms", 250 * time.Millisecond: "250ms", 1234 * time.Millisecond: "1.2s", 9940 * time.Millisecond: "9.9s", 9950 * time.Millisecond: "10s", 29100 * time.Millisecond: "29s", 40 * time.Second: "40s",
		59960 * time.Millisecond: "1m", time.Minute: "1m", 425 * time.Second: "7m 5s", time.Hour: "1h", 2*time.Hour + 5*time.Minute + 9*time.Second: "2h 5m",
		26 * time.Hour: "1d 2h", 400 * 24 * time.Hour: "400d", math.MaxInt64: "106751d 23h", 3600*time.Second - time.Millisecond: "1h",
	} {
		require.Equal(t, want, discord.Span(d), "%v", d)
	}
	require.False(t, strings.Contains(discord.Span(time.Hour), " 0"))
}
