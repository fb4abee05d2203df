package discord

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/laneswap/laneswap"
)

const (
	// cut reads rawPerUnit bytes of a text for each unit that it may write, and at least
	// minRaw. A unit has up to three bytes; the rest is for characters that it drops.
	rawPerUnit, minRaw = 8, 256
	// breaker follows an @, so that it is no mention even without allowed_mentions. It
	// has no width.
	breaker  = "\u200b"
	ellipsis = "…"
)

// width returns the length of s in UTF-16 units: Discord counts no more than that.
func width(s string) int {
	n := 0
	for _, r := range s {
		n += max(utf16.RuneLen(r), 1)
	}
	return n
}

// clean drops control characters, invalid UTF-8 and marks of direction. The Manager has
// cleaned what services sent, but a Notification can come from anywhere. Line breaks
// stay if lines is set, else they become spaces.
func clean(s string, lines bool) string {
	kept := "\u200c\u200d" // joiners: emoji and some scripts are made with them
	if lines {
		kept += "\n"
	}
	if !strings.ContainsAny(s, kept) {
		return strings.TrimSpace(laneswap.Sanitize(s))
	}
	var b strings.Builder
	for s != "" {
		i := strings.IndexAny(s, kept)
		if i < 0 {
			b.WriteString(laneswap.Sanitize(s))
			break
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		b.WriteString(laneswap.Sanitize(s[:i]))
		b.WriteString(s[i : i+size])
		s = s[i+size:]
	}
	return strings.TrimSpace(b.String())
}

// visible reports whether s has a visible character: for Discord a text without one is
// empty.
func visible(s string) bool {
	for _, r := range s {
		switch {
		case unicode.IsSpace(r), !unicode.IsGraphic(r), unicode.Is(unicode.M, r):
		case r == 0x2800, r == 0x3164, r == 0xffa0, r == 0x115f, r == 0x1160: // blanks that count as letters or symbols
		default:
			return true
		}
	}
	return false
}

// words returns s as one line of plain text, at most limit units, for places without
// markdown, such as a footer; "" if nothing is visible.
func words(s string, limit int) string { return cut(s, limit, false, false) }

// escaped returns s as one line with markdown escaped, at most limit units; "" if
// nothing is visible.
func escaped(s string, limit int) string { return cut(s, limit, false, true) }

// paragraph is like escaped, but keeps line breaks.
func paragraph(s string, limit int) string { return cut(s, limit, true, true) }

// cut cleans s and cuts it to limit units; a text that was cut ends with an ellipsis. It
// never separates an escaped character from its backslash.
func cut(s string, limit int, lines, markdown bool) string {
	if raw := rawPerUnit*max(limit, 0) + minRaw; len(s) > raw {
		s = s[:raw]
	}
	s = clean(s, lines)
	if !visible(s) {
		return ""
	}
	var b strings.Builder
	used, full, end := 0, 0, 0 // full: units after which an ellipsis still fits
	start := true              // of a line
	for i, r := range s {
		piece := unmention(s, i, r)
		if markdown {
			piece = escape(s, i, r, start, piece)
		}
		start = r == '\n' || start && (r == ' ' || unicode.IsSpace(r))
		n := width(piece)
		if used+n > limit {
			out := strings.TrimRight(b.String()[:end], " \n\u200b\u200d")
			if full == 0 || !visible(out) {
				return ""
			}
			return out + ellipsis
		}
		b.WriteString(piece)
		used += n
		if used < limit {
			full, end = used, b.Len()
		}
	}
	return b.String()
}

// unmention returns the rune at i, followed by a breaker if it begins a mention.
func unmention(s string, i int, r rune) string {
	at := i + utf8.RuneLen(r)
	rest := s[at:]
	switch {
	case r == '@' && (hasFold(rest, "everyone") || hasFold(rest, "here")),
		r == '<' && (hasFold(rest, "@") || hasFold(rest, "#") || hasFold(rest, "/") || hasFold(rest, "id:")):
		return s[i:at] + breaker
	}
	return s[i:at]
}

func hasFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// escape returns piece, the rune at i, with a backslash before it if Discord would read
// it as markdown. It escapes URLs too, so that texts of services hold no links.
func escape(s string, i int, r rune, start bool, piece string) string {
	rest := s[i+utf8.RuneLen(r):]
	switch r {
	case '\\', '*', '_', '~', '|', '`', '[', ']', '<':
		return `\` + piece
	case '>', '#', '-', '+': // quotes, headings and lists begin a line
		if start {
			return `\` + piece
		}
	case '.', ')': // numbered lists as well
		if before := strings.TrimLeft(s[strings.LastIndexByte(s[:i], '\n')+1:i], " "); before != "" && strings.Trim(before, "0123456789") == "" {
			return `\` + piece
		}
	case ':':
		if strings.HasPrefix(rest, "//") || isEmoji(rest) {
			return `\` + piece
		}
	}
	return piece
}

// isEmoji reports whether what follows a colon makes it the name of an emoji:
// "fire:", but not the minutes of a time.
func isEmoji(rest string) bool {
	letter := false
	for i := range min(len(rest), 64) {
		c := rest[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_', c == '+', c == '-':
			letter = true
		case '0' <= c && c <= '9':
		default:
			return c == ':' && letter
		}
	}
	return false
}

// span formats a duration in its two greatest units: "2h 5m", "3d 4h".
func span(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second-50*time.Millisecond:
		return d.Round(100 * time.Millisecond).String()
	}
	s := int64(d.Round(time.Second) / time.Second)
	for _, u := range []struct {
		of, below int64
		big, low  string
	}{{86400, 3600, "d", "h"}, {3600, 60, "h", "m"}, {60, 1, "m", "s"}} {
		if s < u.of {
			continue
		}
		if low := s % u.of / u.below; low > 0 {
			return fmt.Sprintf("%d%s %d%s", s/u.of, u.big, low, u.low)
		}
		return fmt.Sprintf("%d%s", s/u.of, u.big)
	}
	return fmt.Sprintf("%ds", s)
}

// moment formats a time so that Discord shows it in the reader's zone; "" for none.
func moment(t time.Time) string {
	if t.Unix() <= 0 || t.Year() > 9999 {
		return ""
	}
	return fmt.Sprintf("<t:%d:f>", t.Unix())
}

// ago formats a time so that Discord shows how long ago it was. The time must be one
// that moment can format.
func ago(t time.Time) string { return fmt.Sprintf("<t:%d:R>", t.Unix()) }
