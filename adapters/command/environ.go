package command

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/text"
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
		env = append(env, prefix+v.name+"="+text.Cut(laneswap.Sanitize(v.value), maxValue))
	}
	return append(env, prefix+"TEXT="+lines(note.Text))
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

// lines returns at most maxText bytes of s, each line cleaned.
func lines(s string) string {
	var clean []string
	for line := range strings.SplitSeq(text.Cut(s, maxText), "\n") {
		clean = append(clean, laneswap.Sanitize(line))
	}
	return strings.Join(clean, "\n")
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
