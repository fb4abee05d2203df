package command

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/laneswap/laneswap"
)

const (
	prefix   = "LANESWAP_"
	maxValue = 1 << 10 // bytes of a variable
	maxText  = 8 << 10 // bytes of LANESWAP_TEXT
)

// environ is the environment of the program for a message.
func (n *Notifier) environ(note laneswap.Notification) []string {
	env := n.env
	if env == nil {
		env = inherited(os.Environ(), n.kept)
	}
	env = env[:len(env):len(env)]
	if n.dir != "" {
		env = append(env, "PWD="+n.dir)
	}
	ev := note.Event
	for _, v := range []struct{ name, value string }{
		{"NOTICE_ID", note.ID},
		{"KIND", string(note.Kind)},
		{"TITLE", note.Title},
		{"LEVEL", string(loudest(note))},
		{"ITEMS", strconv.Itoa(len(note.Items))},
		{"SERVICE", string(ev.Service)},
		{"NAME", ev.Name},
		{"EVENT", string(ev.Kind)},
		{"EVENT_ID", ev.ID},
		{"STATUS", string(ev.To)},
		{"PREVIOUS_STATUS", string(ev.From)},
		{"MESSAGE", ev.Message},
		{"INCIDENT", ev.Incident},
		{"ATTEMPT", strconv.Itoa(note.Attempt)},
	} {
		env = append(env, prefix+v.name+"="+cut(laneswap.Sanitize(v.value), maxValue))
	}
	return append(env, prefix+"TEXT="+text(note.Text))
}

// inherited is an environment without LaneSwap's own settings, which hold secrets,
// and without some others. Windows does not tell letters of variables by their case.
func inherited(env, without []string) []string {
	kept := []string{} // not nil, which would mean all of it
	for _, entry := range env {
		name, _, _ := strings.Cut(entry, "=")
		own := len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
		if !own && !slices.ContainsFunc(without, func(other string) bool { return strings.EqualFold(name, other) }) {
			kept = append(kept, entry)
		}
	}
	return kept
}

// text is a text of several lines. It is cut before it is cleaned, for it may be
// long, and afterwards, for a rune that is no longer whole.
func text(s string) string {
	var lines []string
	for line := range strings.SplitSeq(cut(s, maxText), "\n") {
		lines = append(lines, laneswap.Sanitize(line))
	}
	return strings.Join(lines, "\n")
}

// loudest is the level of the event that is the loudest of all items.
func loudest(note laneswap.Notification) laneswap.Level {
	order := map[laneswap.Level]int{laneswap.LevelInfo: 0, laneswap.LevelSuccess: 1, laneswap.LevelWarning: 2, laneswap.LevelError: 3}
	level := note.Event.Level()
	for i := range note.Items {
		if l := note.Items[i].Event.Level(); order[l] > order[level] {
			level = l
		}
	}
	return level
}

// cut returns at most n bytes of s, cut between runes.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
